"""What is behind gancodec.pillow_plugin: its options, and the codecs that a process keeps."""
