# Two commands on a fresh machine: `make demo` and `make test`. Each sets up what is missing.
.PHONY: demo test setup lint clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ifdef ROS_DISTRO
# A sourced ROS brings rclpy and its messages; the environment sees the system's packages.
VENV_OPTIONS := --system-site-packages
EXTRAS := dev
# The messages that `setup` builds into the workspace.
WITH_MESSAGES := . scripts/ros_env.sh &&
else
EXTRAS := ros,dev
endif

demo: setup
	$(WITH_MESSAGES) $(BIN)/python demo/run_demo.py

test: setup lint
	$(WITH_MESSAGES) $(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(VENV)/.ready
	@$(BIN)/python scripts/build_msgs.py

$(VENV)/.ready: setup.py setup.cfg package.xml constraints.txt
	@echo "Setting up $(VENV): some minutes the first time."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV_OPTIONS) $(VENV) || \
	  { rm -rf $(VENV); echo "No virtual environment: on Debian and Ubuntu, apt install python3-venv."; exit 1; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

clean:
	rm -rf $(VENV) demo_results ros2_ws/build ros2_ws/install ros2_ws/log
