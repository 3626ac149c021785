"""The command line.  main.py turns exceptions into exit codes, commands.py declares the options, batch.py does the
work of several files; ``info``, ``models`` and every ``--help`` run without torch, numpy and Pillow.
"""
