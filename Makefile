# Portsnare: `make demo` shows what it does, `make test` proves it.
.PHONY: demo test build packages lint vulncheck deps-demo deps-test deps-packages

GO     ?= go
LDFLAGS = -s -w

# The whole product on this machine, in network namespaces. Needs root.
demo: deps-demo
	$(GO) run ./cmd/portsnare demo

# Everything that .ci/run checks. The kernel tests make their own namespaces, the
# OpenStack tests meet a real Neutron on loopback.
test: deps-test lint
	.ci/neutron $(GO) test -race -timeout 30m ./...
	@$(MAKE) --no-print-directory vulncheck

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/portsnare ./cmd/portsnare-agent

# Debian packages for amd64 and arm64, in dist.
packages: deps-packages
	@set -e; for arch in amd64 arm64; do for package in portsnare portsnare-agent; do \
		GO='$(GO)' packaging/build $$package $$arch dist; \
	done; done

lint:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt wants: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff

vulncheck:
	@.ci/vulncheck

deps-demo:
	@.ci/deps ipset iptables nft

deps-test:
	@.ci/deps ipset iptables nft nmap masscan zmap hping3 gcc

deps-packages:
	@.ci/deps dpkg-deb
