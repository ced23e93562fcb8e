# Everything runs in .venv, which is made from constraints.txt when it is missing.
PYTHON ?= python3
DEMO ?=
READY := .venv/.ready

.PHONY: demo test check docs bench clean

demo: $(READY)  ## the whole main job, offline: data, training, judged report (DEMO="--records 120" for options)
	.venv/bin/camelid demo $(DEMO)

test: $(READY)  ## fast tests: no network, no GPU; a process and a thread a core, four at most
	OMP_NUM_THREADS=1 .venv/bin/pytest -n logical --maxprocesses 4

check: $(READY)  ## ruff, mypy strict, import layers, names of types, long signatures
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python tests/type_names.py
	.venv/bin/python tests/long_signatures.py

docs: $(READY)  ## the documentation as a site: site/index.html
	.venv/bin/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

bench: $(READY)  ## every bar in benchmarks/, each against its named peer; writes benchmarks/RESULTS.md
	.venv/bin/python benchmarks/run_all.py

clean:  ## remove the environment and the demo's output
	rm -rf .venv demo-run site

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)
