package otlp

// severities are the numbers of the OpenTelemetry log data model for the words that
// programs use, and for the numbers of syslog and of pino.
var severities = map[string]uint64{
	"trace": 1, "verbose": 1, "10": 1,
	"debug": 5, "fine": 5, "7": 5, "20": 5,
	"info": 9, "information": 9, "informational": 9, "6": 9, "30": 9,
	"notice": 10, "5": 10,
	"warn": 13, "warning": 13, "4": 13, "40": 13,
	"error": 17, "err": 17, "severe": 17, "3": 17, "50": 17,
	"critical": 18, "crit": 18, "2": 18,
	"alert": 19, "1": 19,
	"fatal": 21, "panic": 21, "emergency": 21, "emerg": 21, "0": 21, "60": 21,
	"t": 1, "d": 5, "i": 9, "w": 13, "e": 17, "f": 21,
}

// severityBytesMax is the length of the longest word.
const severityBytesMax = 13

// severity is the number of a word in any case, 0 if it is not known.
func severity(word []byte) uint64 {
	if len(word) > severityBytesMax {
		return 0
	}
	var lower [severityBytesMax]byte
	for i, c := range word {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return severities[string(lower[:len(word)])]
}
