"""What sensor messages mean: pictures in their encodings, calibrations. No ROS is needed."""
