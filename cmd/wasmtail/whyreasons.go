package main

import "github.com/wasmtail/wasmtail/agent/tail"

// Reasons that are not the tailer's: they are about what comes before or after
// it.
const (
	reasonDelivered   tail.Reason = "delivered"
	reasonEmpty       tail.Reason = "empty"
	reasonNotSeen     tail.Reason = "not_seen"
	reasonStale       tail.Reason = "config_stale"
	reasonRefused     tail.Reason = "config_refused"
	reasonWaiting     tail.Reason = "waiting"
	reasonUnfinished  tail.Reason = "unfinished_line"
	reasonBehind      tail.Reason = "behind"
	reasonModule      tail.Reason = "module_not_serving"
	reasonUnparsed    tail.Reason = "parse_failed"
	reasonFiltered    tail.Reason = "filtered"
	reasonFailing     tail.Reason = "output_failing"
	reasonQueued      tail.Reason = "queued"
	reasonRejected    tail.Reason = "rejected"
	reasonUnreachable tail.Reason = "hub_unreachable"
	reasonMissing     tail.Reason = "hub_missing"
	reasonNotRunning  tail.Reason = "agent_not_running"
)

// reasonText explains a reason in the documentation, and says what to do where
// that does not depend on the file.
type reasonText struct {
	code         tail.Reason
	meaning, fix string
}

// reasonTexts are all reasons, in the order of the gates. The table in the
// documents is held to it.
var reasonTexts = []reasonText{
	{tail.NotFound, "nothing has this name", "check the spelling; a rotated file has another name"},
	{tail.DanglingLink, "it is a symbolic link that leads nowhere", "mend the link, or wait until its target is made"},
	{tail.SealedLink, "it is a symbolic link in a folder that belongs to a container, where none is followed", "let the program write to a file, or name the file that the link leads to"},
	{tail.LabelsUnknown, "it waits for the labels of its pod, which the API server of Kubernetes has not told", "see the reason at the API server in wasmtail status: mostly the right to list and watch pods is missing"},
	{tail.NotRegular, "it is a folder, a pipe, a socket or a device", "let the program write to a file"},
	{tail.NoPermission, "the agent's user may not read it, or may not pass a folder above it", "give the user the right, with the command that is printed"},
	{tail.Unreadable, "reading it fails in another way", "see the error: the disk or the file system is at fault"},
	{tail.NoInclude, "no pipeline includes it", "add it to include of a files input, and reload the agent"},
	{tail.RotatedBefore, "it was rotated before the agent first saw the file that it was, or is a compressed copy of what was read", "nothing, if it was read under its first name; old files need a pipeline of their own"},
	{tail.TooDeep, "it lies deeper below its pattern than max_depth", "raise max_depth, or write a pattern that begins further down"},
	{tail.Compressed, "it is compressed and is not the rotated part of a file that is followed", "unpack it, or include the name it had before"},
	{tail.Excluded, "a pattern excludes it, or a folder above it", "narrow the pattern in exclude, and reload the agent"},
	{tail.LinkLoop, "a folder on the way is a symbolic link to one above it", "include the file by its path without the link"},
	{tail.BeforeStart, "all it has was there before the agent began, and start_at passed over it", "nothing, for new lines; the old ones need a pipeline of their own with start_at: beginning"},
	{tail.HardLink, "it is one of several names of a file that is read under another", "look for the other name"},
	{tail.Copied, "it is a copy of what was delivered from its original", "nothing: look for the original's name"},
	{reasonEmpty, "it has no bytes", "nothing: its lines will be read when they are written"},
	{reasonRefused, "the agent runs an older configuration, since it refused the newest", "mend what wasmtail check says, and reload the agent"},
	{reasonStale, "the agent runs an older configuration than the one asked about", "reload the agent: send it SIGHUP"},
	{tail.TooManyFiles, "the input follows as many files as max_files allows", "raise max_files of the input, or make its patterns narrower"},
	{tail.TooManyOpen, "the agent has as many files open as it may", "raise limits.open_files, and LimitNOFILE of the service"},
	{tail.TooManyFolders, "the input watches as many folders as it may", "make the patterns of include narrower, or exclude folders"},
	{reasonNotSeen, "the agent has not found it yet", "wait a second; if it stays so, look into the agent's log"},
	{reasonUnfinished, "its last line has no end yet", "nothing: it is sent after partial_timeout, or when it has one"},
	{reasonWaiting, "an older generation of the file is read first, or the checkpoint cannot be saved", "wait; if it stays so, look into the agent's log"},
	{reasonModule, "a parser module does not serve: lines are sent as they are, or held, as on_module_error says", "see the module's reason in wasmtail status, and give it a version that works"},
	{reasonUnparsed, "lines could not be parsed: they are sent whole, with the reason in __error__", "try the lines with wasmtail parse --explain"},
	{reasonFiltered, "a filter, or max_age with action: drop, took out all its lines", "change the rule, if these lines are wanted"},
	{reasonFailing, "an output does not deliver; nothing is lost meanwhile", "see the error; the agent goes on by itself when the output is back"},
	{reasonQueued, "its bytes wait for an output that is slower than what is read", "raise limits.bandwidth or limits.cpu, if it stays so"},
	{reasonBehind, "it is read, but not to its end yet", "wait; raise limits.cpu, if it stays so"},
	{reasonRejected, "the receiver refused a part of it for good, and that was put aside", "look into the folder that is named, and send it again by hand"},
	{reasonMissing, "the hub lacks bytes that an output had acknowledged", "wasmtail verify names them; was the hub's data removed, or does the output send elsewhere?"},
	{reasonUnreachable, "the hub does not answer, so what it has is not known", "start wasmtail-hub, or mend the way to it"},
	{reasonNotRunning, "the agent does not run", "start it: wasmtail run, or its service"},
	{reasonDelivered, "nothing is wrong: all of it is delivered", ""},
}

// fixOf is what to do about a reason.
func fixOf(code tail.Reason) string {
	for i := range reasonTexts {
		if reasonTexts[i].code == code {
			return reasonTexts[i].fix
		}
	}
	return ""
}
