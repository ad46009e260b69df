use embedded_graphics::geometry::Size;

use super::*;

const C: Level = Level::Command;
const D: Level = Level::Data;

/// What a driver sends to wake a controller up, with a window of two pixels.
const WAKE_UP: [(Level, &[u8]); 9] = [
    (C, &[COLMOD]),
    (D, &[0x55]),
    (C, &[SLPOUT]),
    (C, &[DISPON]),
    (C, &[CASET]),
    (D, &[0, 1, 0, 2]),
    (C, &[RASET]),
    (D, &[0, 5, 0, 5]),
    (C, &[RAMWR]),
];

fn run(events: &[(Level, &[u8])]) -> Result<DcsSim, ProtocolError> {
    let glass = Glass::usual(ColorModel::St7789, Some(Size::new(240, 240)));
    let mut sim = DcsSim::new(glass, 64);
    sim.wait(Duration::from_millis(120));
    for &(level, bytes) in events {
        sim.receive(level, bytes)?;
        if bytes == [SLPOUT] {
            sim.wait(SETTLE);
        }
    }
    sim.finish()?;
    Ok(sim)
}

/// Runs the wake-up with one event replaced, or added at the end.
fn with(at: usize, event: (Level, &[u8])) -> Result<DcsSim, ProtocolError> {
    let mut events = WAKE_UP.to_vec();
    if at < events.len() {
        events[at] = event
    } else {
        events.push(event)
    }
    events.push((D, &[0xff, 0xff, 0, 0]));
    run(&events)
}

#[test]
fn decodes_pixels_in_whatever_pieces_they_come() {
    let mut events = WAKE_UP.to_vec();
    events.extend([(C, [0x21].as_slice()), (C, &[RAMWR]), (D, &[0xf8]), (D, &[0x00, 0x07, 0xe0])]);
    events.remove(8);
    let sim = run(&events).unwrap();
    let seen = sim.seen();
    assert_eq!(seen.get_pixel(1, 5), &Rgb([255, 0, 0]));
    assert_eq!(seen.get_pixel(2, 5), &Rgb([0, 255, 0]));
    assert_eq!(sim.windows, [SimWindow { columns: [1, 2], rows: [5, 5] }]);
}

#[test]
fn every_breach_of_the_protocol_is_caught() {
    let long = [0; 65];
    let cases: [(&str, Result<DcsSim, ProtocolError>); 16] = [
        ("65 bytes; the bus takes 1 to 64", with(9, (D, &long))),
        ("a transfer of 0 bytes", with(9, (D, &[]))),
        ("pixels before sleep-out", with(2, (C, &[0]))),
        ("pixels before display-on", with(3, (C, &[0]))),
        ("rows [5, 240]", with(7, (D, &[0, 5, 0, 240]))),
        ("columns [2, 1]", with(5, (D, &[0, 2, 0, 1]))),
        ("4 bytes at once as commands", with(5, (C, &[0, 1, 0, 2]))),
        ("of data behind no command", with(8, (C, &[0x13]))),
        ("0x2a with 3 parameters; it has 4", with(5, (D, &[0, 1, 0]))),
        ("0x2a with 5 parameters", with(5, (D, &[0, 1, 0, 2, 0]))),
        ("a window of 4 bytes got 6", with(9, (D, &[1, 2]))),
        ("a window of 4 bytes got 2", run(&[&WAKE_UP[..], &[(D, &[1, 2])]].concat())),
        ("a window of 4 bytes got 3", run(&[&WAKE_UP[..], &[(D, &[1, 2, 3]), (C, &[0])]].concat())),
        ("unknown command 0x55", with(3, (C, &[0x55]))),
        ("a pixel format that is none 0x57", with(1, (D, &[0x57]))),
        ("a window of 6 bytes got 4", with(1, (D, &[0x66]))),
    ];
    for (expected, result) in cases {
        let error = result.map(|_| ()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn a_command_too_early_is_caught() {
    let mut sim = DcsSim::new(Glass::usual(ColorModel::Ili9341, None), 64);
    sim.wait(SETTLE);
    let error = sim.receive(C, &[SLPOUT]).unwrap_err();
    assert!(matches!(error, ProtocolError::NotSettled { command: SLPOUT, .. }), "{error}");
    sim.wait(BEFORE_WAKE_UP);
    sim.receive(C, &[SLPOUT]).unwrap();
    let error = sim.receive(C, &[DISPON]).unwrap_err();
    assert!(matches!(error, ProtocolError::NotSettled { command: DISPON, .. }), "{error}");
    sim.wait(SETTLE);
    sim.receive(C, &[DISPON]).unwrap();
}

#[test]
fn the_glass_is_black_until_the_display_is_on() {
    let sim = run(&WAKE_UP[..3]).unwrap();
    assert!(sim.seen().pixels().all(|pixel| pixel == &Rgb([0, 0, 0])));
    assert!(run(&WAKE_UP[..4]).unwrap().seen().pixels().any(|pixel| pixel != &Rgb([0, 0, 0])));
}

#[test]
fn controllers_that_take_18_bits_alone_refuse_16() {
    for model in [ColorModel::Ili9486, ColorModel::Ili9488] {
        let mut sim = DcsSim::new(Glass::usual(model, None), 64);
        sim.wait(BEFORE_WAKE_UP);
        sim.receive(C, &[COLMOD]).unwrap();
        assert!(sim.receive(D, &[0x55]).is_err(), "{model:?}");
    }
}
