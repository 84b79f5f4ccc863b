"""A gallery on a Milvus server.

gallery       the class, and who is closest
connection    addresses, collections, and what a server answers
working_copy  a change made in memory first, and then put to the server
"""
