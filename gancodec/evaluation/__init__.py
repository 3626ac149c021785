"""Measuring: rate of whole files, distortion of 8-bit pictures, BD-rates with their ranges.

`gancodec eval FOLDER` is the way in; its parts are pure functions of arrays and numbers.
Needs the extra `eval`, and nothing else in gancodec needs this package.
"""
