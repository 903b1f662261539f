"""The public names of the notebook helpers and the modules they come from."""

from . import show as show
from . import tables as tables
from .example import example_folder as example_folder
from .lab import explore_notebook as explore_notebook
from .lab import open_lab as open_lab
from .parameters import check_parameters as check_parameters
from .parameters import read_callbacks as read_callbacks
from .parameters import read_trackers as read_trackers
from .parameters import whole_numbers as whole_numbers
from .progress import Progress as Progress
