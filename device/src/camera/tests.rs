use super::*;

fn bars() -> CameraOptions {
    let size = lcam_models::preprocess::ImageSize { width: 48, height: 32 };
    CameraOptions { size: Some(size), ..CameraOptions::default() }
}

#[test]
fn turning_is_for_all_sources() {
    let options = CameraOptions { rotate: Rotation::Quarter, flip: Flip::Horizontal, ..bars() };
    let mut camera = open(&CameraAddress::Bars, &options).unwrap();
    let Capture::Picture(picture) = camera.capture(Duration::from_secs(5)).unwrap() else {
        panic!("no picture");
    };
    assert_eq!(picture.dimensions(), (32, 48));
    let description = camera.description();
    assert!(
        description.ends_with("48x32 at 30 pictures/s, turned by 90 degrees, mirrored"),
        "{description}"
    );
}

#[test]
fn options_are_checked_before_anything_is_opened() {
    let raw = Some("rgb24:2x2".parse().unwrap());
    let cases = [
        (CameraAddress::Bars, CameraOptions { rate: Some(0.0), ..bars() }, "rate 0 is not"),
        (CameraAddress::Bars, CameraOptions { raw, ..bars() }, "only for pipe:"),
        (CameraAddress::Csi(0), CameraOptions { raw, ..bars() }, "only for pipe:"),
    ];
    for (address, options, expected) in cases {
        let error = open(&address, &options).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{address}: ")) && error.contains(expected), "{error}");
    }
}

#[test]
fn errors_say_what_to_do() {
    let of = |kind: io::ErrorKind| {
        CameraError::Open { camera: "/dev/video0".to_owned(), source: kind.into() }.to_string()
    };
    assert!(of(io::ErrorKind::PermissionDenied).contains("group video"));
    assert!(of(io::ErrorKind::ResourceBusy).contains("another program"));
    let offered = vec!["pRAA (10-bit Bayer)".to_owned(), "RG10 (10-bit Bayer)".to_owned()];
    let bare =
        CameraError::Format { camera: "/dev/video0".to_owned(), offered, is_bare_sensor: true };
    assert_eq!(
        bare.to_string(),
        "/dev/video0: none of its formats can be used: it offers pRAA (10-bit Bayer), RG10 (10-bit Bayer); \
         needed is YUYV, UYVY, NV12, YU12 or MJPG; for the raw sensor of a CSI camera give csi://0"
    );
}

#[test]
fn many_damaged_pictures_in_a_row_are_an_error() {
    let mut damage = Damage::default();
    for _ in 1..MANY {
        damage.add("x", "bad".to_owned()).unwrap();
    }
    damage.mend();
    for _ in 1..MANY {
        damage.add("x", "bad".to_owned()).unwrap();
    }
    let error = damage.add("x", "worse".to_owned()).unwrap_err().to_string();
    assert_eq!(error, "x: 30 pictures in a row cannot be read; the last: worse");
    assert_eq!(damage.with_broken(2).count, 2 * MANY + 1);
}
