//! What every figure means, in plain words, and where it comes from.

use crate::evaluate::Family;

/// One explained term.
#[derive(Debug)]
pub(super) struct Definition {
    /// The figures it is about.
    pub(super) term: &'static str,
    /// What they mean.
    pub(super) meaning: &'static str,
    /// Who defined them.
    pub(super) source: &'static str,
}

/// Explains the figures of a family.
pub(super) fn definitions(family: Family) -> &'static [Definition] {
    match family {
        Family::Faithfulness => &FAITHFULNESS,
        Family::Fills => &FILLS,
        Family::Curves => &CURVES,
        Family::Road => &ROAD,
        Family::Localization => &LOCALIZATION,
        Family::Sparseness => &SPARSENESS,
    }
}

const FAITHFULNESS: [Definition; 2] = [
    Definition {
        term: "Average drop ↓",
        meaning: "The picture is darkened where the map is low, and only the highest 100, 50 or 15 % of the map’s pixels \
                  are kept at all. How much of its confidence does the network lose, on average? Rises count as 0. A map \
                  that is high everywhere does well at 100 %, so the three belong together.",
        source: "Chattopadhay et al. 2018, Grad-CAM++; shares of pixels as in Gkartzonika et al. 2022, L-CAM",
    },
    Definition {
        term: "Increase in confidence ↑",
        meaning: "On how many of these darkened pictures is the network more confident than before: what was hidden had \
                  only distracted it.",
        source: "Chattopadhay et al. 2018",
    },
];

const FILLS: [Definition; 1] = [Definition {
    term: "…, mean colour; …, blurred",
    meaning: "The same with another filling than black, which looks like nothing that the network was trained on: the \
              colour that is 0 after normalisation, or the picture itself, blurred. Where an order of methods holds for \
              all fillings it is not owed to one of them.",
    source: "blur as in Petsiuk et al. 2018, RISE: 11 × 11, standard deviation 5 at 224 pixels",
}];

const CURVES: [Definition; 2] = [
    Definition {
        term: "Insertion ↑",
        meaning: "Pixels appear on the blurred picture, the highest of the map first. The sooner the network becomes \
                  confident, the larger the area under the curve.",
        source: "Petsiuk et al. 2018, RISE",
    },
    Definition {
        term: "Deletion ↓",
        meaning: "Pixels turn black, the highest of the map first. The sooner the network loses its confidence, the \
                  smaller the area under the curve.",
        source: "Petsiuk et al. 2018, RISE",
    },
];

const ROAD: [Definition; 1] = [Definition {
    term: "ROAD ↑",
    meaning: "20, 40, 60 and 80 % of the pixels are replaced by a weighted mean of their neighbours and a little noise, so \
              that not even the outline of what is gone tells the class. Once the least relevant pixels go, once the most \
              relevant: half the difference of the confidences that are left, averaged. 0 is what chance gives.",
    source: "Rong et al. 2022, ROAD; averaged as in the package grad-cam (ROADCombined)",
}];

const LOCALIZATION: [Definition; 2] = [
    Definition {
        term: "Pointing game ↑",
        meaning: "How often the highest pixel of the map lies in the object’s mask. A network may rightly look elsewhere: \
                  this says where, not how faithfully.",
        source: "Zhang et al. 2018, excitation backprop; here without tolerance",
    },
    Definition {
        term: "Energy in object ↑",
        meaning: "How much of the map’s sum lies in the object’s mask.",
        source: "Wang et al. 2020, Score-CAM",
    },
];

const SPARSENESS: [Definition; 1] = [Definition {
    term: "Gini index ↑",
    meaning: "0 when all pixels are equally high, nearly 100 when one holds everything: how concentrated, and so how easy to \
              read, a map is. It says nothing about whether the map is right.",
    source: "Chalasani et al. 2020; Hurley and Rickard 2009",
}];
