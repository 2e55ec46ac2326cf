// Package abi is the contract between the agent and a parser module: names,
// numbers and byte layouts of ABI 1. Both sides of it are written against this
// package or against a copy of its numbers in another language, and
// docs/wasm/abi.md is made from it.
//
// All integers are little-endian, all pointers are u32 offsets in the module's
// one memory. Nothing here allocates, blocks or keeps state.
package abi

// Version is the major version, which is part of the name of ExportABI. Minor
// is the newest minor version that this package describes: it only ever adds
// (fields at the end of structs that say their size, flags, ids, imports).
const (
	Version = 1
	Minor   = 0
)

// The exports of a module. Others are ignored.
const (
	// ExportMemory is the module's only memory. Required.
	ExportMemory = "memory"
	// ExportInitialize, () → (), is called once, right after instantiation. Optional.
	ExportInitialize = "_initialize"
	// ExportABI, () → i32, returns the minor version that the module needs. Required.
	ExportABI = "wt_abi_1"
	// ExportAlloc, (size i32) → i32, returns a region of that many bytes, aligned
	// to 8, which is the host's until the instance ends; 0 refuses. It is called
	// before ExportInit, and once more after it if the host wants a larger region. Required.
	ExportAlloc = "wt_alloc"
	// ExportInit, (cfg_ptr, cfg_len i32) → i32, takes the module's configuration,
	// JSON, and returns the address of an Info. Called once. Required.
	ExportInit = "wt_init"
	// ExportProcess, (batch_ptr, batch_len i32) → i32, parses a batch and returns
	// the address of a Result, 0 for a batch given up without a word. Required.
	ExportProcess = "wt_process"
	// ExportClose, () → (), is called on an orderly stop only. Optional.
	ExportClose = "wt_close"
	// ExportStart is how a command begins; a parser is no command.
	ExportStart = "_start"
)

// The imports on offer, all optional. Any other import is refused.
const (
	// ImportModule is the module name of the imports.
	ImportModule = "wt"
	// ImportLog, (level, ptr, len i32), writes to the agent's log: at most
	// LogBytesMax bytes of a message, at a limited rate.
	ImportLog = "log"
	// ImportLogLevel, () → i32, is the lowest level that is kept.
	ImportLogLevel = "log_level"
	// ImportCounterAdd, (id i32, n i64), adds to a counter of the schema's
	// "metrics", by its index; n ≥ 0.
	ImportCounterAdd = "counter_add"
	// ImportSpanAttr, (kptr, klen, vptr, vlen i32), sets an attribute of the
	// host's span of this batch. Nothing happens when it is not sampled.
	ImportSpanAttr = "span_attr"
	// ImportLookup, (table, kptr, klen, out, cap i32) → i32, finds a key in a table
	// of the configuration, by its place there. It returns the value's length, -1
	// when the key is absent, or the length needed when that is above cap (then
	// nothing was written).
	ImportLookup = "lookup"
)

// Log levels of ImportLog.
const (
	LogDebug = iota
	LogInfo
	LogWarn
	LogError
)

// Batch is what the host writes at the start of the region before a call of
// ExportProcess. After it come the events and the data.
const (
	BatchSize      = 64 // bytes; a later minor version may append
	BatchOffSize   = 0  // u32, BatchSize
	BatchOffFlags  = 4  // u32, FlagFinal …
	BatchOffEvents = 8  // u32, number of events, at least 1
	BatchOffTable  = 12 // u32, address of the events
	BatchOffData   = 16 // u32, address of the data
	BatchOffLength = 20 // u32, bytes of data
	BatchOffMaxOut = 24 // u32, bytes of values outside of the data that the host will take
	BatchOffMark   = 28 // u32, progress: the module writes the index of the event it begins with
	BatchOffNow    = 32 // i64, the time to use, nanoseconds since 1970 UTC
	BatchOffSeq    = 40 // u64, number of this call on this instance, from 0
	BatchOffStream = 48 // u32, which source; one source in a batch
	BatchOffMeta   = 52 // u32, address of a JSON object about the source, 0 when unchanged since the last batch of this stream
	BatchOffMetaN  = 56 // u32, bytes of it
	BatchOffUnused = 60 // u32, 0
)

// Flags of a batch.
const (
	// FlagFinal: consume everything, nothing will follow for now.
	FlagFinal = 1 << iota
	// FlagRetry: part of a batch that failed before.
	FlagRetry
	// FlagFirst: the first batch of this stream on this instance.
	FlagFirst
)

// Event is one entry of the event table. Events ascend and do not overlap.
const (
	EventSize      = 24
	EventOffOffset = 0  // u32, where it begins in the data
	EventOffLength = 4  // u32, bytes, without line end
	EventOffFlags  = 8  // u32, EventSplit …
	EventOffUnused = 12 // u32, 0
	EventOffTime   = 16 // i64, time that is known already, nanoseconds since 1970 UTC, 0 for none
)

// Flags of an event.
const (
	// EventSplit: a piece of a record that was longer than the limit.
	EventSplit = 1 << iota
	// EventPartial: delivered by time-out, before its end was seen.
	EventPartial
	// EventInvalid: has bytes that are not valid UTF-8.
	EventInvalid
)

// Info is what ExportInit leaves.
const (
	InfoSize         = 32
	InfoOffSize      = 0  // u32, InfoSize
	InfoOffCaps      = 4  // u32, CapJoin …
	InfoOffStatus    = 8  // u32, 0 fine, else the configuration is refused
	InfoOffSchema    = 12 // u32, address of the schema, JSON
	InfoOffSchemaLen = 16 // u32, at most SchemaBytesMax
	InfoOffMsg       = 20 // u32, address of a message for the operator
	InfoOffMsgLen    = 24 // u32
	InfoOffWanted    = 28 // u32, wanted bytes of a batch, 0 for any
)

// Capabilities that a module declares. A row that uses another breaks the
// contract.
const (
	// CapJoin: a row may stand for several events, and events may be left for the
	// next batch.
	CapJoin = 1 << iota
	// CapDrop: rows may be dropped.
	CapDrop
	// CapSplit: several rows may stand for one event.
	CapSplit
	// CapRoute: rows may name a log store of the pipeline's routes.
	CapRoute
	// CapTime: rows may set the record's time.
	CapTime
	// CapDynamicKeys: rows may have fields that the schema does not name.
	CapDynamicKeys
)

// CapsAll are the capabilities there are.
const CapsAll = CapJoin | CapDrop | CapSplit | CapRoute | CapTime | CapDynamicKeys

// Result is what ExportProcess leaves.
const (
	ResultSize        = 32
	ResultOffSize     = 0  // u32, ResultSize
	ResultOffStatus   = 4  // u32, BatchOK …
	ResultOffConsumed = 8  // u32, events that the rows account for
	ResultOffRows     = 12 // u32, number of rows
	ResultOffTable    = 16 // u32, address of the rows
	ResultOffLength   = 20 // u32, bytes of the rows with their fields
	ResultOffMsg      = 24 // u32, address of a message for the log
	ResultOffMsgLen   = 28 // u32, at most MsgBytesMax are used
)

// Status of a result.
const (
	// BatchOK: the rows count.
	BatchOK = iota
	// BatchGivenUp: the module could not parse this batch.
	BatchGivenUp
	// BatchFatal: the module must not be called again.
	BatchFatal
)

// Row is followed by its fields.
const (
	RowSize      = 16
	RowOffFirst  = 0  // u32, index of its first event
	RowOffEvents = 4  // u16, events it stands for, at least 1; more need CapJoin
	RowOffFields = 6  // u16, fields that follow
	RowOffStatus = 8  // u8, RowOK …
	RowOffAction = 9  // u8, ActionKeep or ActionDrop
	RowOffCode   = 10 // u16, the module's own reason, below 256
	RowOffFlags  = 12 // u32, RowKeepRaw
)

// Status of a row.
const (
	// RowOK: parsed.
	RowOK = iota
	// RowNoMatch: the line is not of this format.
	RowNoMatch
	// RowError: the line is of this format and wrong.
	RowError
)

// Action of a row.
const (
	// ActionKeep: it becomes a record.
	ActionKeep = iota
	// ActionDrop: an explicit rule of the module removes it; counted as filtered.
	ActionDrop
)

// RowKeepRaw is a flag of a row: keep the line beside its fields.
const RowKeepRaw = 1

// Field is one entry of a row.
const (
	FieldSize     = 12
	FieldOffID    = 0 // u16, index in the schema, or one of the ids below
	FieldOffKind  = 2 // u8, KindString …
	FieldOffFlags = 3 // u8, 0
	FieldOffA     = 4 // u32
	FieldOffB     = 8 // u32
)

// Kind of a field's value.
const (
	KindString = iota // a address, b length, anywhere in the memory
	KindInt           // i64, low word in a, high word in b
	KindFloat         // f64 likewise; NaN and infinities become null
	KindBool          // a 0 or 1
	KindNull          // no value: the field is left out
	KindBytes         // like KindString; not meant to be UTF-8
	KindJSON          // like KindString, valid JSON
)

// Ids of fields that are no columns of the schema.
const (
	// IDColumns bounds the indexes of the schema.
	IDColumns = 0xF000
	// IDTime is the record's time, KindInt, nanoseconds since 1970 UTC. Needs CapTime.
	IDTime = 0xF001
	// IDSeverity is the record's severity, KindInt, 1 to 24 as OpenTelemetry has it.
	IDSeverity = 0xF002
	// IDBody is the record's message: the field "content".
	IDBody = 0xF003
	// IDRoute is the log store to send the record to, KindString, one of the
	// pipeline's routes. Needs CapRoute.
	IDRoute = 0xF004
	// IDTraceID is KindBytes of 16 bytes.
	IDTraceID = 0xF005
	// IDSpanID is KindBytes of 8 bytes.
	IDSpanID = 0xF006
	// IDErrorText says why a row did not match, KindString, at most ErrorBytesMax.
	IDErrorText = 0xF007
	// IDKey, KindString, names the field that follows, whose own id is then
	// ignored. At most KeyBytesMax bytes, not empty. Needs CapDynamicKeys.
	IDKey = 0xFFFF
)

// Bounds of the contract.
const (
	LogBytesMax     = 1 << 10
	MsgBytesMax     = 1 << 10
	ErrorBytesMax   = 256
	KeyBytesMax     = 256
	NameBytesMax    = 256
	SchemaBytesMax  = 64 << 10
	ColumnsMax      = 1024
	MetricsMax      = 64
	RowsMax         = 65536
	CodesMax        = 256
	SpanAttrsMax    = 16
	SpanKeyBytes    = 64
	SpanValueBytes  = 256
	DynamicKeysMax  = 1000
	ValueBytesMax   = 1 << 20
	JSONDepthMax    = 64
	SeverityMax     = 24
	MetaSectionName = "wt.meta"
)
