"""The papers that the built-in methods come from, each in one place; rows of methods and of their parts name them."""

from typing import NamedTuple


class Paper(NamedTuple):
    """A paper: its authors and year as one cites them, and its arXiv number, if it has one."""

    cited: str
    arxiv: str = ""

    def __str__(self) -> str:
        return f"{self.cited}, arXiv {self.arxiv}" if self.arxiv else self.cited


Papers = tuple[Paper, ...]

# what is trained
LOCKED = Paper("Zhai et al. 2022", "2111.07991")
LNFIT = Paper("De Min et al. 2023", "2308.09610")
BITFIT = Paper("Ben Zaken et al. 2022", "2106.10199")
LORA = Paper("Hu et al. 2022", "2106.09685")
DORA = Paper("Liu et al. 2024", "2402.09353")
VERA = Paper("Kopiczko et al. 2024", "2310.11454")
GALORE = Paper("Zhao et al. 2024", "2403.03507")

# regularisers
EWC = Paper("Kirkpatrick et al. 2017", "1612.00796")
ONLINE_EWC = Paper("Schwarz et al. 2018", "1805.06370")
SI = Paper("Zenke et al. 2017", "1703.04200")
L2_SP = Paper("Li et al. 2018", "1802.01483")
LWF = Paper("Li and Hoiem 2016", "1606.09282")
ZSCL = Paper("Zheng et al. 2023", "2303.06628")

# merging
TEMPORAL = Paper("Dziadzio et al. 2024", "2412.06712")
EMA = Paper("Stojanovski et al. 2022", "2205.06640")
SLERP = Paper("Shoemake 1985")
TASK_ARITHMETIC = Paper("Ilharco et al. 2023", "2212.04089")
TIES = Paper("Yadav et al. 2023", "2306.01708")
DARE = Paper("Yu et al. 2024", "2311.03099")
BREADCRUMBS = Paper("Davari and Belilovsky 2024", "2312.06795")
MODEL_STOCK = Paper("Jang et al. 2024", "2403.19522")
MAGMAX = Paper("Marczak et al. 2024", "2407.06322")

# learning rate
COSINE = Paper("Loshchilov and Hutter 2017", "1608.03983")
RSQRT = Paper("Zhai et al. 2022", "2106.04560")
WSD = Paper("Hu et al. 2024", "2404.06395")
POWER = Paper("Shen et al. 2024", "2408.13359")
