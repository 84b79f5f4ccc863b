"""What leaves a gallery and comes into it.

backup       a whole gallery in one file, and how it comes back
replacement  the same people embedded by another network, until that is confirmed
archive      the open format: its members and their limits
exports      a gallery written in the open format
imports      the open format read; strangers may have made the files
copies       everybody of one gallery put into another
milvus_gallery  a former gallery that Milvus alone holds, read to be copied
"""
