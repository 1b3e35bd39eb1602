//! A location, as it is sent and shown: `geo:` URIs (RFC 5870), the form that mobile clients understand.

use std::fmt;

/// Degrees, WGS 84.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// North is positive.
    pub latitude: f64,
    /// East is positive.
    pub longitude: f64,
}

impl Place {
    /// From `LAT,LON`.
    pub fn parse(text: &str) -> Option<Self> {
        let (latitude, longitude) = text.split_once(',')?;
        Self::new(latitude.trim().parse().ok()?, longitude.trim().parse().ok()?)
    }

    fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let is_place = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        is_place.then_some(Self { latitude, longitude })
    }

    /// From a `geo:` URI, whatever else it says (altitude, uncertainty).
    pub fn from_uri(uri: &str) -> Option<Self> {
        let coordinates = uri.trim().strip_prefix("geo:")?.split([';', '?']).next()?;
        let mut parts = coordinates.split(',');
        Self::new(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?)
    }

    /// As a URI.
    pub fn uri(self) -> String {
        format!("geo:{},{}", self.latitude, self.longitude)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.latitude, self.longitude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        let place = Place::from_uri("geo:-13.5,-71.9,3400;u=35").unwrap();
        assert_eq!(place, Place::parse("-13.5, -71.9").unwrap());
        assert_eq!(Place::from_uri(&place.uri()), Some(place));
        for bad in ["geo:", "geo:1", "geo:91,0", "geo:NaN,0", "http:1,2", "geo:1,x"] {
            assert_eq!(Place::from_uri(bad), None, "{bad}");
        }
    }
}
