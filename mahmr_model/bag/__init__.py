"""ROS 2 bags in and out, without ROS: `mahmr bag`."""
