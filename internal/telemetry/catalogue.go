package telemetry

// Labels that several metrics have.
var (
	pipelineLabel = Label{"pipeline", "the pipeline's name"}
	outputLabel   = Label{"output", "the output's name"}
)

// Metrics of the agent.
var (
	ReceivedEvents = Metric{
		Name: "wasmtail_component_received_events_total", Kind: Counter,
		Labels: []Label{pipelineLabel, {"outcome", "parsed or failed"}},
		Help:   "Records framed by a pipeline's input, by what became of them.",
	}
	ReceivedBytes = Metric{
		Name: "wasmtail_component_received_bytes_total", Kind: Counter, Unit: "bytes",
		Labels: []Label{pipelineLabel},
		Help:   "Source bytes of the records framed by a pipeline's input.",
	}
	DiscardedEvents = Metric{
		Name: "wasmtail_component_discarded_events_total", Kind: Counter,
		Labels: []Label{pipelineLabel, {"reason", "rule"}, {"intentional", "true: a configured rule asked for it"}},
		Help:   "Records removed by a rule of the configuration.",
	}
	Errors = Metric{
		Name: "wasmtail_component_errors_total", Kind: Counter,
		Labels: []Label{
			{"pipeline", "the pipeline's name, of a processor"},
			{"component_id", "the processor as the log names it, such as regex#1, or the output's name"},
			{"component_kind", "processor or output"},
		},
		Help: "Batches that a processor could not work on, and attempts to send that failed.",
	}
	SentBytes = Metric{
		Name: "wasmtail_component_sent_bytes_total", Kind: Counter, Unit: "bytes",
		Labels: []Label{outputLabel, {"outcome", "success or failure"}},
		Help:   "Payload bytes given to an output's receiver; an attempt that failed counts, and so does the next.",
	}
	RejectedBytes = Metric{
		Name: "wasmtail_component_rejected_bytes_total", Kind: Counter, Unit: "bytes",
		Labels: []Label{outputLabel},
		Help:   "Payload bytes that a receiver refused for good and that were put aside.",
	}
	AckLatency = Metric{
		Name: "wasmtail_ack_latency_seconds", Kind: Histogram, Unit: "seconds",
		Labels: []Label{outputLabel, {"outcome", "success or failure"}},
		Help:   "Time from the start of an attempt to its answer.",
		Bounds: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}
	BufferBytes = Metric{
		Name: "wasmtail_buffer_bytes", Kind: Gauge, Unit: "bytes",
		Labels: []Label{outputLabel},
		Help:   "Payload bytes in memory that wait for an output or are under way.",
	}
	BufferDiskBytes = Metric{
		Name: "wasmtail_buffer_disk_bytes", Kind: Gauge, Unit: "bytes",
		Labels: []Label{outputLabel},
		Help:   "Bytes on the disk that wait for an output.",
	}
	WireBytes = Metric{
		Name: "wasmtail_wire_bytes_total", Kind: Counter, Unit: "bytes",
		Labels: []Label{outputLabel},
		Help:   "Bytes an output has written to its connections, headers and encryption included: what limits.bandwidth bounds.",
	}
	PipelineWireBytes = Metric{
		Name: "wasmtail_pipeline_wire_bytes_total", Kind: Counter, Unit: "bytes",
		Labels: []Label{pipelineLabel, outputLabel},
		Help:   "Of wasmtail_wire_bytes_total, what the batches of a pipeline took. Opening connections is nobody's.",
	}
	BufferLost = Metric{
		Name: "wasmtail_buffer_lost_events_total", Kind: Counter,
		Labels: []Label{outputLabel, {"reason", "expired, damaged, or set_aside: kept in a file that cannot be sent"}},
		Help:   "Records that waited on the disk and will not be delivered; the log names file and range.",
	}
)

// stageLabel tells the modules of a pipeline apart.
var stageLabel = Label{"component_id", "the processor as the log names it, such as wasm#1"}

// limitLabel tells the limits apart.
var limitLabel = Label{"limit", "cpu, memory, bandwidth, disk or open_files"}

// Metrics of the agent about modules, of which a pipeline has one for each of
// its wasm processors.
var (
	WasmEvents = Metric{
		Name: "wasmtail_wasm_events_total", Kind: Counter,
		Labels: []Label{pipelineLabel, stageLabel},
		Help:   "Lines given to a module.",
	}
	WasmRows = Metric{
		Name: "wasmtail_wasm_rows_total", Kind: Counter,
		Labels: []Label{pipelineLabel, stageLabel, {"outcome", "parsed, no_match or error as the module says; dropped by its rule; failed, for a fault of the module; bypassed while it does not serve"}},
		Help:   "What became of lines that were meant for a module; failed and bypassed ones are kept raw.",
	}
	WasmLost = Metric{
		Name: "wasmtail_wasm_instances_lost_total", Kind: Counter,
		Labels: []Label{pipelineLabel, stageLabel, {"reason", "trap, deadline, stack, contract, given_up, fatal, start; recycled is none of its faults"}},
		Help:   "Instances of a module that had to be replaced.",
	}
	WasmUnits = Metric{
		Name: "wasmtail_wasm_units_total", Kind: Counter,
		Labels: []Label{pipelineLabel, stageLabel},
		Help:   "Units of work that a module's meter has counted: turns of loops, and calls.",
	}
	WasmNanos = Metric{
		Name: "wasmtail_wasm_nanoseconds_total", Kind: Counter, Unit: "nanoseconds",
		Labels: []Label{pipelineLabel, stageLabel},
		Help:   "Time that batches spent in a module and with its results.",
	}
	WasmCopied = Metric{
		Name: "wasmtail_wasm_copied_bytes_total", Kind: Counter, Unit: "bytes",
		Labels: []Label{pipelineLabel, stageLabel},
		Help:   "Bytes of values that a module made itself, instead of pointing into its input.",
	}
	WasmRefused = Metric{
		Name: "wasmtail_wasm_refused_total", Kind: Counter,
		Labels: []Label{pipelineLabel, stageLabel},
		Help:   "Versions of a module that were refused.",
	}
	WasmServing = Metric{
		Name: "wasmtail_wasm_serving", Kind: Gauge,
		Labels: []Label{pipelineLabel, stageLabel},
		Help:   "1 while a module parses, 0 while it is refused or broken.",
	}
	LimitUsed = Metric{
		Name: "wasmtail_limit_used", Kind: Gauge, Labels: []Label{limitLabel},
		Help: "What the agent uses of a limit: thousandths of a processor over the last second, bytes resident, bytes written in the last second, bytes on the disk, descriptors. -1 where it cannot be known.",
	}
	LimitMax = Metric{
		Name: "wasmtail_limit_max", Kind: Gauge, Labels: []Label{limitLabel},
		Help: "The limit, in the unit of wasmtail_limit_used; 0 for none.",
	}
	LimitWaited = Metric{
		Name: "wasmtail_limit_waited_milliseconds", Kind: Gauge, Unit: "milliseconds", Labels: []Label{limitLabel},
		Help: "How long reading has waited for a limit since the start; only cpu and memory are waited for there.",
	}
	LostBytes = Metric{
		Name: "wasmtail_lost_bytes_total", Kind: Counter, Unit: "bytes",
		Help: "Bytes of files that will not be delivered; losses.jsonl in the state folder names every range.",
	}
	LedgerMismatch = Metric{
		Name: "wasmtail_ledger_mismatch_total", Kind: Counter,
		Labels: []Label{pipelineLabel},
		Help:   "Generations of files whose sums do not agree: read, framed, parsed, failed, filtered, acknowledged.",
	}
	InputDropped = Metric{
		Name: "wasmtail_input_dropped_total", Kind: Counter,
		Labels: []Label{pipelineLabel, {"reason", "why an input could not take it: full, oversize, malformed, limit, idle, unauthorised"}},
		Help:   "Messages and requests that an input without files could not take. Those over a connection are refused and their sender is told; datagrams are gone.",
	}
	InputSplit = Metric{
		Name: "wasmtail_input_split_total", Kind: Counter,
		Labels: []Label{pipelineLabel},
		Help:   "Messages of an input without files that are longer than it allows, and were delivered in pieces.",
	}
	InputUnlabelled = Metric{
		Name: "wasmtail_input_unlabelled_total", Kind: Counter,
		Labels: []Label{pipelineLabel},
		Help:   "Containers and pods whose lines are delivered without the labels of their pod, as the API server of Kubernetes did not tell them in time.",
	}
	ConfigRefused = Metric{
		Name: "wasmtail_config_refused", Kind: Gauge,
		Help: "1 while a newer configuration than the one that runs was refused.",
	}
)

// Metrics of the hub.
var (
	HubRequests = Metric{
		Name: "wasmtail_hub_receive_requests_total", Kind: Counter,
		Labels: []Label{{"outcome", "success, refused (the client's fault) or busy (to be sent again)"}},
		Help:   "Requests to put logs, by outcome.",
	}
	HubRecords = Metric{
		Name: "wasmtail_hub_receive_records_total", Kind: Counter,
		Help: "Records taken.",
	}
	HubBodyBytes = Metric{
		Name: "wasmtail_hub_receive_body_bytes_total", Kind: Counter, Unit: "bytes",
		Help: "Bytes of bodies taken, as sent.",
	}
	HubRawBytes = Metric{
		Name: "wasmtail_hub_receive_raw_bytes_total", Kind: Counter, Unit: "bytes",
		Help: "Bytes of bodies taken, inflated.",
	}
	HubBatches = Metric{
		Name: "wasmtail_hub_stream_batches_total", Kind: Counter,
		Help: "Batches made durable.",
	}
	HubRepeated = Metric{
		Name: "wasmtail_hub_stream_repeated_batches_total", Kind: Counter,
		Help: "Batches that had been taken before.",
	}
	HubStreamFull = Metric{
		Name: "wasmtail_hub_stream_full_total", Kind: Counter,
		Help: "Batches refused because the stream was full.",
	}
	HubUndecodable = Metric{
		Name: "wasmtail_hub_stream_undecodable_total", Kind: Counter,
		Help: "Batches of the stream that could not be decoded.",
	}
	HubWaiting = Metric{
		Name: "wasmtail_hub_stream_waiting_batches", Kind: Gauge,
		Help: "Batches not yet written to the store.",
	}
	HubStreamBytes = Metric{
		Name: "wasmtail_hub_stream_bytes", Kind: Gauge, Unit: "bytes",
		Help: "Bytes in the ingest stream.",
	}
	HubStored = Metric{
		Name: "wasmtail_hub_store_records_total", Kind: Counter,
		Help: "Records written to the store.",
	}
	HubStoredBytes = Metric{
		Name: "wasmtail_hub_store_bytes_total", Kind: Counter, Unit: "bytes",
		Help: "Bytes of records written to the store.",
	}
	HubRecovered = Metric{
		Name: "wasmtail_hub_store_recovered_records_total", Kind: Counter,
		Help: "Records found in the store after a crash.",
	}
	HubCut = Metric{
		Name: "wasmtail_hub_store_cut_records_total", Kind: Counter,
		Help: "Records of partly repeated batches that were left out.",
	}
	HubRestarts = Metric{
		Name: "wasmtail_hub_store_restarts_total", Kind: Counter,
		Help: "Times the consumer started over after a fault of the store.",
	}
	HubLag = Metric{
		Name: "wasmtail_hub_store_lag_seconds", Kind: Gauge, Unit: "seconds",
		Help: "Age that the batch last written to the store had then.",
	}
	HubStoreRecords = Metric{
		Name: "wasmtail_hub_store_records", Kind: Gauge,
		Help: "Records in the store; not shown when the store is elsewhere.",
	}
	HubStoreDisk = Metric{
		Name: "wasmtail_hub_store_disk_bytes", Kind: Gauge, Unit: "bytes",
		Help: "Disk space of the store; not shown when the store is elsewhere.",
	}
	HubDropped = Metric{
		Name: "wasmtail_hub_store_dropped_records_total", Kind: Counter,
		Help: "Records that the store did not keep, by their time; not shown when the store is elsewhere.",
	}
	HubHeap = Metric{
		Name: "wasmtail_hub_heap_bytes", Kind: Gauge, Unit: "bytes",
		Help: "Bytes of the heap in use.",
	}
	HubGoroutines = Metric{
		Name: "wasmtail_hub_goroutines", Kind: Gauge,
		Help: "Goroutines.",
	}
	HubBuild = Metric{
		Name: "wasmtail_hub_build_info", Kind: Gauge,
		Labels: []Label{{"version", "of the hub"}, {"go", "the version of Go it was built with"}, {"module", "the module's path"}},
		Help:   "Always 1; the labels say which build runs.",
	}
)

// Agent and Hub are what each program shows at /metrics, in the order of the
// reference.
var (
	Agent = []*Metric{
		&ReceivedEvents, &ReceivedBytes, &DiscardedEvents, &Errors, &SentBytes, &RejectedBytes, &AckLatency, &BufferBytes, &BufferDiskBytes, &BufferLost, &WireBytes, &PipelineWireBytes, &LostBytes,
		&WasmEvents, &WasmRows, &WasmLost, &WasmUnits, &WasmNanos, &WasmCopied, &WasmRefused, &WasmServing, &ConfigRefused, &LedgerMismatch, &InputDropped, &InputSplit, &InputUnlabelled, &LimitUsed, &LimitMax, &LimitWaited,
	}
	Hub = []*Metric{
		&HubRequests, &HubRecords, &HubBodyBytes, &HubRawBytes,
		&HubBatches, &HubRepeated, &HubStreamFull, &HubUndecodable, &HubWaiting, &HubStreamBytes,
		&HubStored, &HubStoredBytes, &HubRecovered, &HubCut, &HubRestarts, &HubLag, &HubStoreRecords, &HubStoreDisk, &HubDropped,
		&HubHeap, &HubGoroutines, &HubBuild,
	}
)
