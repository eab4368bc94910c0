# To be sourced before the node, the demo or the tests are run with an installed ROS (ROS_DISTRO):
# puts the workspace's messages on the paths. ROS from PyPI needs nothing of this.
if [ -n "${ROS_DISTRO:-}" ] && [ -f ros2_ws/install/setup.sh ]; then
  . ros2_ws/install/setup.sh
fi
