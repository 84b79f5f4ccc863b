"""Where the faces of a photograph are.

detector  the one door: boxes and landmarks in photographs of any size, and which face is meant
mtcnn     MTCNN's cascade of three networks over a batch of images
"""
