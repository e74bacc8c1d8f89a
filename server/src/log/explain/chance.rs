//! A chance for a person. In: permille, or nothing where a delay was not measured. Out: words. Guarantee: steps, never a
//! precision that one measured unit of a model cannot give.

/// The chance of the press that stands behind: `about 1 in 5`.
pub fn words(chance_permille: Option<u16>) -> String {
    let Some(chance) = chance_permille else {
        return "how likely is not known: not measured".to_owned();
    };
    let steps = [(400, "about 1 in 2"), (260, "about 1 in 3"), (150, "about 1 in 5"), (70, "about 1 in 10")];
    let rare = [(35, "about 1 in 20"), (15, "about 1 in 50")];
    match steps.iter().chain(&rare).find(|(from, _)| chance >= *from) {
        _ if chance > 600 => "more likely than not".to_owned(),
        Some((_, words)) => (*words).to_owned(),
        None => "very unlikely".to_owned(),
    }
}

/// The chance of the press that was told first, among those that may have been before it.
pub fn of_winner(chances_permille: &[Option<u16>], name: &str) -> String {
    let Some(known) = chances_permille.iter().copied().collect::<Option<Vec<u16>>>() else {
        return "how likely is not known, for not all of their devices were measured".to_owned();
    };
    let lost: u32 = known.iter().copied().map(u32::from).sum();
    let percent = 1000_u32.saturating_sub(lost).div_ceil(10);
    let least = if known.len() > 1 { "at least " } else { "" };
    match (percent, known.as_slice()) {
        (..50, [_]) => format!(
            "and that is more likely: its button is slower. By the order of the stamps {name} is first"
        ),
        (0..10, _) => format!("how likely {name} was first cannot be said"),
        (96.., _) => format!("but {name} was first with a chance of more than 95 %"),
        _ => format!("{name} was first with a chance of {least}about {} %", percent.div_euclid(5) * 5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_no_precision() {
        for (chance, want) in [
            (Some(999), "more likely than not"),
            (Some(500), "about 1 in 2"),
            (Some(333), "about 1 in 3"),
            (Some(200), "about 1 in 5"),
            (Some(100), "about 1 in 10"),
            (Some(50), "about 1 in 20"),
            (Some(20), "about 1 in 50"),
            (Some(1), "very unlikely"),
            (None, "how likely is not known: not measured"),
        ] {
            assert_eq!(words(chance), want);
        }
    }

    #[test]
    fn the_winner_has_what_the_others_leave() {
        let of = |chances: &[Option<u16>]| of_winner(chances, "stage 2");
        assert_eq!(of(&[Some(110)]), "stage 2 was first with a chance of about 85 %");
        assert_eq!(of(&[Some(110), Some(200)]), "stage 2 was first with a chance of at least about 65 %");
        assert_eq!(of(&[Some(1)]), "but stage 2 was first with a chance of more than 95 %");
        assert!(of(&[Some(800)]).contains("more likely: its button is slower"));
        assert!(of(&[Some(1), None]).contains("not known"));
    }
}
