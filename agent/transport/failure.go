package transport

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Class of a failure: what the sender of the request should do.
type Class uint8

// The classes.
const (
	// Retry: it may work the next time. Keep trying.
	Retry Class = iota
	// Quota: the receiver takes less than is sent. Send less, keep trying.
	Quota
	// Auth: the key, its secret or its rights are wrong. Keep, try slowly, alarm.
	Auth
	// Clock: the receiver has another time. Correct by ServerTime, sign again.
	Clock
	// TooLarge: send the records in smaller requests.
	TooLarge
	// BadData: some record of the request cannot be stored. Find it, send the
	// others.
	BadData
	// Misconfigured: there is no such project or logstore, the endpoint is not a
	// receiver, or the request is not what it expects. Keep, try slowly, alarm.
	Misconfigured
	// Rejected: this request will never be taken as it is.
	Rejected
)

var classNames = [...]string{"retry", "quota", "auth", "clock", "too_large", "bad_data", "misconfigured", "rejected"}

// String is a short name for logs and metrics.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "class " + strconv.Itoa(int(c))
}

// advice is what a person can do, by class.
var advice = [...]string{
	Auth:          "; check the access key and its rights",
	Clock:         "; check the clock of this host",
	Misconfigured: "; check the endpoint, project and logstore",
	Rejected:      "",
}

// retryAfterMax bounds what a receiver may ask for.
const retryAfterMax = 10 * time.Minute

// Failure is why a request was not taken.
type Failure struct {
	Class Class
	// Status is the HTTP status, 0 when there was no response.
	Status int
	// Code is the receiver's error code, empty when it gave none.
	Code string
	// Message is what the receiver said, cut and cleaned of control characters.
	Message   string
	RequestID string
	// RetryAfter is how long the receiver asked to wait, at most 10 minutes; 0
	// when it did not.
	RetryAfter time.Duration
	// ServerTime is the receiver's time, zero when it did not say.
	ServerTime time.Time
	// Body is the answer as it came, cut at the client's limit.
	Body []byte
	// Advice is what a person can do, in place of what the class says; it begins
	// with "; ".
	Advice string
	// Err is why there was no response, nil when there was one.
	Err error
}

// Error says what happened and what to do about it.
func (f *Failure) Error() string {
	var b strings.Builder
	b.WriteString("cannot post the request: ")
	if f.Err != nil {
		b.WriteString(f.Err.Error())
	} else {
		fmt.Fprintf(&b, "the receiver answered %d", f.Status)
		if f.Code != "" {
			b.WriteString(" " + f.Code)
		}
		if f.Message != "" {
			b.WriteString(": " + f.Message)
		}
		if f.RequestID != "" {
			b.WriteString(" (request " + f.RequestID + ")")
		}
	}
	switch {
	case f.Advice != "":
		b.WriteString(f.Advice)
	case int(f.Class) < len(advice):
		b.WriteString(advice[f.Class])
	}
	return b.String()
}

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// classesByCode is keyed by the error code in lower case: receivers do not
// agree on the case of all of them.
var classesByCode = map[string]Class{
	"internalservererror": Retry, "serverbusy": Retry, "shardnotexist": Retry, "logstorewithoutshard": Retry,
	// The hub took a request with the same signature within the same second:
	// the next one is signed for another time.
	"signaturenonceused": Retry,

	"writequotaexceed": Quota, "shardwritequotaexceed": Quota, "readquotaexceed": Quota, "shardreadquotaexceed": Quota,

	"unauthorized": Auth, "invalidaccesskeyid": Auth, "signaturenotmatch": Auth,

	"requesttimetooskewed": Clock, "requesttimeexpired": Clock, "invalidrequesttime": Clock,

	"postbodytoolarge": TooLarge,

	"postbodyinvalid": BadData, "invalidtimestamp": BadData, "invalidkey": BadData, "invalidencoding": BadData, "parameterinvalid": BadData,

	"projectforbidden": Misconfigured, "projectquotaexceed": Misconfigured, "logstorenotexist": Misconfigured,
	"projectnotexist": Misconfigured, "missingcontenttype": Misconfigured, "missingbodyrawsize": Misconfigured,
	"missinghost": Misconfigured, "missingdate": Misconfigured, "invaliddateformat": Misconfigured,
	"missingapiversion": Misconfigured, "invalidapiversion": Misconfigured, "missaccesskeyid": Misconfigured,
	"missingsignaturemethod": Misconfigured, "invalidsignaturemethod": Misconfigured,
	"missingcontentlength": Misconfigured, "invalidcontenttype": Misconfigured,

	"postbodyuncompresserror": Rejected, "invalidcompresstype": Rejected, "invalidbodyrawsize": Rejected,
	"invalidsequenceid": Rejected,
}

// classOf prefers the code; the status alone may come from anything on the way.
// A status that nothing is known about keeps the data.
func classOf(status int, code string) Class {
	if c, known := classesByCode[strings.ToLower(code)]; known {
		return c
	}
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return Retry
	case http.StatusTooManyRequests:
		return Quota
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return Auth
	case http.StatusRequestEntityTooLarge:
		return TooLarge
	}
	if status >= 500 {
		return Retry
	}
	return Misconfigured
}

func statusFailure(resp *http.Response, body []byte, now time.Time) *Failure {
	f := &Failure{
		Status:     resp.StatusCode,
		RequestID:  clean(resp.Header.Get("x-log-requestid"), 64),
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), now),
		ServerTime: ServerTime(resp.Header),
		Body:       body,
	}
	var answer struct {
		Code    string `json:"errorCode"`
		Message string `json:"errorMessage"`
	}
	if err := json.Unmarshal(body, &answer); err == nil && (answer.Code != "" || answer.Message != "") {
		f.Code, f.Message = clean(answer.Code, 64), clean(answer.Message, 400)
	} else {
		f.Message = clean(string(body[:min(len(body), 400)]), 200)
	}
	f.Class = classOf(f.Status, f.Code)
	return f
}

// ServerTime returns the receiver's time from the headers of a response: that
// of x-log-time (Unix seconds), else Date, else zero.
func ServerTime(h http.Header) time.Time {
	if sec, err := strconv.ParseInt(h.Get("x-log-time"), 10, 64); err == nil && sec > 0 && sec < 1<<33 {
		return time.Unix(sec, 0)
	}
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		return t
	}
	return time.Time{}
}

// retryAfter reads seconds or a date.
func retryAfter(s string, now time.Time) time.Duration {
	var d time.Duration
	if sec, err := strconv.ParseUint(s, 10, 64); err == nil {
		d = time.Duration(min(sec, uint64(retryAfterMax/time.Second))) * time.Second
	} else if t, err := http.ParseTime(s); err == nil {
		d = t.Sub(now)
	}
	return max(0, min(d, retryAfterMax))
}

// Clean makes what a peer said fit for a log line of that many bytes.
func Clean(s string, bytesMax int) string { return clean(s, bytesMax) }

func clean(s string, bytesMax int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > bytesMax {
		s = strings.ToValidUTF8(s[:bytesMax], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
