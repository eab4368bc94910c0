"""The ROS 2 node: camera topics in, metric people out."""
