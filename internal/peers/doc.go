// Package peers measures the agent beside other log collectors, and against
// the least work that its task can be done with. It has no code for the
// program: everything is in its tests.
//
// TestLimit compares the built agent with a program of one goroutine that does
// only what cannot be left out, and measures what the agent costs while
// nothing happens. TestPeers, built with -tags peers, compares it with rsyslog,
// syslog-ng and the OpenTelemetry Collector on four workloads.
//
// All contenders read the same generated files, one after another, on the same
// core; what receives their records runs in the test's process on another core,
// and counts and checks every record. The figures are CPU seconds of the
// contender between the moment its file appears and the moment its last record
// has arrived. They are comparable within one run on one machine, and nowhere
// else: hence the requirements are ratios.
//
// Environment: PEERS_MB is the size of each file in megabytes (256), PEERS_RUNS
// how often each measurement is made (3; the fastest counts), PEERS_ONLY a
// regular expression that picks measurements by "workload/contender",
// PEERS_PROFILE a folder for CPU profiles of the agent, PEERS_AGENT the agent's
// binary (bin/wasmtail at the root of the repository).
package peers
