"""The napari plugin: docks, the bridge to the worker thread, layers and sample data.

The only room that imports napari, qtpy, superqt or magicgui. Nothing in it imports
torch on the thread that draws.
"""
