"""Long work that the page starts in the background, each job a process and a folder.

orders      what a job is asked to do, typed and checked
tasks       the jobs that the page starts
store       submit, watch, cancel, keep, and find again after a reload
reports     what a job says of itself, read line by line
supervisor  the process between the page and a job
"""
