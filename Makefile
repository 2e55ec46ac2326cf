# Every target with a ## line is shown by plain `make`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export CGO_ENABLED ?= 0
# The same for all, so that what is compiled for one target serves the others.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
WEB := hub/console/web
TIME ?= 30s
KILLS ?= 50

.PHONY: help
help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

.PHONY: build
build: bin/wasmtail bin/wasmtail-hub ## build both programs into bin/

.PHONY: bin/wasmtail
bin/wasmtail:
	go build -ldflags '$(LDFLAGS)' -o $@ ./cmd/wasmtail

.PHONY: bin/wasmtail-hub
bin/wasmtail-hub: console
	go build -ldflags '$(LDFLAGS)' -o $@ ./cmd/wasmtail-hub

# Without Node the hub is built all the same, and its page says how to get the
# console.
.PHONY: console
console: ## build the web console (needs Node)
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory hub/console/dist/index.html; \
	else echo 'console: no npm found, the hub is built without its pages'; fi

hub/console/dist/index.html: $(shell find $(WEB)/src -type f 2>/dev/null) $(WEB)/index.html $(WEB)/package-lock.json $(WEB)/vite.config.ts
	cd $(WEB) && npm ci --no-audit --no-fund --loglevel=error && npm run build

.PHONY: up
up: build ## start a hub and an agent on this machine (UP="--demo" for demonstration logs)
	bin/wasmtail up $(UP)

.PHONY: test
test: vet test-console test-go ## everything: unit, model, end-to-end, console, browser

.PHONY: vet
vet:
	test -z "$$(gofmt -l $$(git ls-files '*.go') | tee /dev/stderr)"
	go vet ./...
	go -C internal/realserver/collector vet . # a module of its own

.PHONY: lint
lint: ## golangci-lint with .golangci.yml (not part of test)
	@command -v golangci-lint >/dev/null || { echo 'lint: no golangci-lint found; install it with' >&2; \
	echo '  go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0' >&2; \
	echo 'and have $$(go env GOPATH)/bin in PATH' >&2; exit 1; }
	golangci-lint run ./...

# The compiler of the AssemblyScript examples.
wasm-examples/node_modules: wasm-examples/package-lock.json
	cd wasm-examples && npm ci --no-audit --no-fund --loglevel=error && touch node_modules

.PHONY: wasm
wasm: bin/wasmtail wasm-examples/node_modules ## build the example parsers and run their golden cases
	@set -e; for project in wasm-examples/*/*/parser.yaml; do \
	  echo $$(dirname $$project); bin/wasmtail parser test --sdk sdk $$(dirname $$project); done

# Packages that start no goroutines, and take ten times as long with the race detector.
UNRACED := ./internal/formats ./internal/houserules ./internal/wasmbin

.PHONY: test-go
test-go: build wasm-examples/node_modules
	CGO_ENABLED=1 go test -race -p 3 -timeout 30m $$(go list ./... | grep -v $(patsubst .%,-e %$$,$(UNRACED)) -e /internal/e2e)
	go test -timeout 15m $(UNRACED) ./agent/wasmhost # wasmhost in full: the race detector gets fewer rounds
	go test -count 1 -parallel 3 -timeout 15m ./internal/e2e

.PHONY: test-console
test-console: hub/console/dist/index.html
	cd $(WEB) && npm run typecheck && npm test

.PHONY: fuzz
fuzz: ## run every fuzz target for TIME each (TIME=30s)
	@set -e; for pkg in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$pkg | grep ^Fuzz); do \
	    echo "$$pkg $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(TIME) $$pkg; done; done

.PHONY: soak
soak: build ## everything that can go wrong, all at once, for TIME (TIME=10m), and then the count
	WASMTAIL_SOAK=$(TIME) WASMTAIL_OUTAGE=$(TIME) go test -count 1 -timeout 0 -v -run 'TestSoak|TestTheHubIsAway' ./internal/e2e
	WASMTAIL_KILLS=$(KILLS) go test -count 1 -timeout 0 -v -run TestWorkersAreKilledAtRandom ./internal/e2e

.PHONY: bench
bench: build wasm-examples/node_modules ## benchmarks of every stage, and of the whole agent against its limit
	go test -run '^$$' -bench . -benchmem ./internal/... ./plugins/... ./agent/... ./hub/...
	go test -count 1 -v -timeout 30m -run TestLimit ./internal/peers

.PHONY: bench-peers
bench-peers: build ## the agent beside rsyslog, syslog-ng and the OpenTelemetry Collector
	go test -tags peers -count 1 -v -timeout 60m -run TestPeers ./internal/peers

.PHONY: bench-import
bench-import: ## live lines beside an import of 1 GiB at full speed
	WASMTAIL_IMPORT=1GiB go test -count 1 -v -timeout 30m -run 'TestAnImportLetsLiveLinesPass|TestLiveLinesAreFoundBesideAnImport' ./internal/e2e

.PHONY: generate
generate: ## write the documents that are made from the code
	go run ./cmd/wasmtail docs

.PHONY: fmt
fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

.PHONY: cross
cross: ## build the agent for every platform it supports
	@set -e; for arch in amd64 arm64; do echo linux/$$arch; GOOS=linux GOARCH=$$arch go build -o /dev/null ./cmd/wasmtail; done

.PHONY: clean
clean: ## remove what was built
	rm -rf bin hub/console/dist/assets hub/console/dist/index.html $(WEB)/node_modules
