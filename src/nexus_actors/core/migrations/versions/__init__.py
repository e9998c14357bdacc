"""One module for each step; a step that has been released is never edited.

Workers of the last release run on while a step is taken, and are started anew, or again
after a roll-back, when it is.  A step therefore makes tables, indexes, and columns that
may be empty or have a default of the server's.  One that must do more begins a new
hundred: 0008 may be followed by 0100, which older releases refuse.
"""
