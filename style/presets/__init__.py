"""Style pictures that are drawn by this application: there from the first minute.

    registry    their names; Preset.draw
    shelf       drawn once and kept in the user's data folder; the bundled contact sheet
    ground      coordinates, noise, colour ramps, relief, paper
    strokes     strokes of a brush along a flow
    cells       surroundings of scattered places
    cloth, dots, ink, oil, paper, planes, stones, water
                the pictures

A picture is a function of its side in px and of a seeded generator; on one platform the same bytes
come out every time.
"""
