"""The HTTP service around gancodec: it imports the package, never the other way round."""
