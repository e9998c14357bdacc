# make demo [VIDEO=file]   the whole system on this machine, with no account anywhere
# make test [ARGS=...]     every check; installs what is missing first
# make check               formatting, lint and types alone
# make test-full [SHARD=integration/video]   the tests of a folder at full scale
# make docs                regenerates the generated reference pages
# make bench [ARGS="queue --scale 0.1"]   measures against peers; benchmarks/README.md
# make golden                completes new golden files; see CONTRIBUTING.md
# make constraints         resolves the versions that everybody installs

.DEFAULT_GOAL := help
.PHONY: help demo test test-full check docs bench golden constraints clean
BIN := .venv/bin
# a file's tests share what they have made; folders in order: the slow ones begin
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo:
	@.ci/bootstrap demo
	@$(BIN)/nexus-actors demo $${VIDEO:+"$$VIDEO"}

test: check
	@$(BIN)/pytest $(PARALLEL) $(ARGS)

test-full:
	@test -d "tests/$(SHARD)" || { echo 'no such folder: tests/$(SHARD)' >&2; exit 2; }
	@.ci/bootstrap test
	@NEXUS_TEST_SCALE=full $(BIN)/pytest $(PARALLEL) "tests/$(SHARD)" $(ARGS)

check:
	@.ci/bootstrap test
	@$(BIN)/ruff format --check --quiet . || { echo 'run: ruff format .' >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/codespell
	@$(BIN)/validate-pyproject pyproject.toml >/dev/null
	@$(BIN)/mypy

docs:
	@.ci/bootstrap test
	@$(BIN)/python docs/generate.py
	@$(BIN)/python docs/capacity.py

bench:
	@.ci/bootstrap test
	@$(BIN)/python -m benchmarks run $(ARGS)

golden:
	@.ci/bootstrap test
	@$(BIN)/python tests/goldens.py

constraints:
	@.ci/bootstrap test
	@$(BIN)/uv pip compile --quiet --universal --upgrade --no-header --no-annotate \
	    --no-emit-index-url --all-extras --group dev pyproject.toml \
	    --output-file .ci/constraints.txt

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache build dist nexus-demo tests/players/node_modules \
	    benchmarks/*/node_modules
