# Puts the workspace's messages on the paths; to be sourced (from the root) before the demo or the
# tests are run with an installed ROS. ROS from PyPI needs nothing of this.
. ros2_ws/install/setup.sh
