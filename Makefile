.PHONY: help quickstart test test-vm bench fuzz fmt
.DEFAULT_GOAL := help

help:
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 14

quickstart: ## Installs what is missing, builds Wharf, and runs a container end to end on a private daemon, without network
	@scripts/needs.sh quickstart
	cargo build --release -p wharf
	@scripts/quickstart.sh

test: ## Installs what is missing and runs every check and test: format, lints, crate arrows, licences, unit, privileged, end to end
	@scripts/needs.sh test
	@scripts/test.sh

test-vm: ## Runs the privileged tests on two more kernels, Linux 6.1 and a recent one, with pure cgroup v2, in qemu
	@scripts/needs.sh test-vm
	@scripts/vm/test.sh

bench: ## Builds a release and measures it beside the peers that are installed; see docs/performance.md
	@scripts/needs.sh bench
	cargo xtask bench

fuzz: ## Feeds every reader of outside input with mutations of its corpus, a minute each (SECONDS_EACH=600 for longer)
	@fuzz/run.sh

fmt: ## Formats the code
	cargo fmt --all
