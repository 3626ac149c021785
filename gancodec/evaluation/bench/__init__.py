"""Seconds and memory of a codec of ours, beside architectures of CompressAI's zoo: what ``gancodec bench`` runs.

plan.py says what is measured, speed.py has it measured and results.py keeps it, tables.py prints it.  The work is done
in children: measure.py is one of them, children.py starts it.  On Linux a child's ru_maxrss begins at the resident size
of the process that started it, so these modules import the standard library only; contenders.py and content.py are
for the children.

**What is timed.**  An RGB picture to the bytes of a file, entropy coding and all, and back to 8-bit samples.  Peers get
pictures padded to multiples of 64, as they need; their strings are joined to one file.  All contenders run in one
process: one warm-up, then runs in turn, so that a slow moment of the machine meets them alike.  Ratios compare the best
runs; on a machine that is busy with other work read those of CPU time (of all threads) only.

**Batches.**  One picture several times: symbols are decoded together, and of ours each picture is then made by itself.
Of ours there is no encoding of several pictures together, so a batch is decoded only.

**Memory.**  Peak resident size of a process that loads a codec and encodes, or decodes, above that of one that only
imports the same modules; weights and picture are part of it.

**Limits.**  The peers have random weights.  Their networks cost what trained ones do, but most of their symbols are 0:
their files are smaller (see bpp) and coded sooner than those of trained models, which favours the peers.  Generated
pictures cost JPEG about what Kodak's photos do, but are no photos.
"""
