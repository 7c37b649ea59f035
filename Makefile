# `make run` starts the app and `make test` proves it; both set up what they need, once.

PYTHON ?= python3
BIN := .venv/bin
PORT ?= 7860

.PHONY: run test lint audit data image-check clean

run: .venv/app
	GRADIO_SERVER_PORT=$(PORT) $(BIN)/python app.py

# Two at a time, then what measures, with the machine for itself. (5: ARGS leave nothing of one half.)
# With REPORTS, a folder, what was run is written down there.
test: .venv/dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not alone" $(ARGS) \
		$(if $(REPORTS),--junitxml=$(REPORTS)/together.xml) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -m alone $(ARGS) \
		$(if $(REPORTS),--junitxml=$(REPORTS)/alone.xml) || [ $$? -eq 5 ]

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Known holes in what the app runs on and what that needs. It asks PyPI, so it needs internet; strict:
# what PyPI does not know counts as a failure, or nothing found would look like nothing wrong.
audit: .venv/audit/ready
	.venv/audit/bin/pip-audit --strict --progress-spinner off -r requirements.txt

data: .venv/dev
	cd scripts/dicebear && npm ci
	$(BIN)/python scripts/build_bundled_data.py

# What a build of the image would do, without Docker; as root. It installs all anew, so no test does it.
image-check: .venv/app
	$(BIN)/python scripts/check_image.py

clean:
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/app: .venv/bin/python requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/audit/ready: .venv/bin/python
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	touch $@

.venv/dev: .venv/app requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@
