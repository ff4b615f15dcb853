"""The papers that the built-in methods come from, each in one place; rows of methods and of their parts name them."""

from typing import NamedTuple


class Paper(NamedTuple):
    """A paper: its authors and year as one cites them, and its arXiv number, if it has one."""

    cited: str
    arxiv: str = ""

    def __str__(self) -> str:
        return f"{self.cited}, arXiv {self.arxiv}" if self.arxiv else self.cited


Papers = tuple[Paper, ...]

PAPERS = {
    # what is trained
    "locked": Paper("Zhai et al. 2022", "2111.07991"),
    "lnfit": Paper("De Min et al. 2023", "2308.09610"),
    "bitfit": Paper("Ben Zaken et al. 2022", "2106.10199"),
    "lora": Paper("Hu et al. 2022", "2106.09685"),
    "dora": Paper("Liu et al. 2024", "2402.09353"),
    "vera": Paper("Kopiczko et al. 2024", "2310.11454"),
    "galore": Paper("Zhao et al. 2024", "2403.03507"),
    # regularisers
    "ewc": Paper("Kirkpatrick et al. 2017", "1612.00796"),
    "online_ewc": Paper("Schwarz et al. 2018", "1805.06370"),
    "si": Paper("Zenke et al. 2017", "1703.04200"),
    "l2_sp": Paper("Li et al. 2018", "1802.01483"),
    "lwf": Paper("Li and Hoiem 2016", "1606.09282"),
    "zscl": Paper("Zheng et al. 2023", "2303.06628"),
    "conadv": Paper("Liu et al. 2021", "2106.00221"),
    "mclrec": Paper("Qin et al. 2023", "2304.07763"),
    # merging
    "temporal": Paper("Dziadzio et al. 2024", "2412.06712"),
    "ema": Paper("Stojanovski et al. 2022", "2211.03186"),
    "slerp": Paper("Shoemake 1985"),
    "task_arithmetic": Paper("Ilharco et al. 2023", "2212.04089"),
    "ties": Paper("Yadav et al. 2023", "2306.01708"),
    "dare": Paper("Yu et al. 2024", "2311.03099"),
    "breadcrumbs": Paper("Davari and Belilovsky 2024", "2312.06795"),
    "model_stock": Paper("Jang et al. 2024", "2403.19522"),
    "magmax": Paper("Marczak et al. 2024", "2407.06322"),
    # learning rate
    "cosine": Paper("Loshchilov and Hutter 2017", "1608.03983"),
    "rsqrt": Paper("Zhai et al. 2022", "2106.04560"),
    "wsd": Paper("Hu et al. 2024", "2404.06395"),
    "power": Paper("Shen et al. 2024", "2408.13359"),
    # diagnostics
    "random_matrix": Paper("Granziol et al. 2022", "2006.09092"),
    "edge_of_stability": Paper("Cohen et al. 2022", "2207.14484"),
    "noise_scale": Paper("McCandlish et al. 2018", "1812.06162"),
    "adadagrad": Paper("Lau et al. 2024", "2402.11215"),
}
