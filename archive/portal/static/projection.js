// Two maps of the sky. Longitude and latitude in degrees; x grows to the left hand, as one sees the sky.

const RAD = Math.PI / 180;

/** Mollweide: the whole sky in an ellipse two units wide on each side, one unit high; longitude 0 in the middle. */
export class WholeSky {
  width = 4;
  height = 2;

  project(lon, lat) {
    const theta = auxiliary(lat * RAD);
    const turned = ((((lon + 180) % 360) + 360) % 360) - 180;
    return [-2 * (turned / 180) * Math.cos(theta), Math.sin(theta)];
  }

  /** Neighbouring points of a line that lie on opposite sides are not joined. */
  joins(one, other) {
    return Math.abs(one[0] - other[0]) < 1;
  }

  meridians() {
    return steps(-180, 180, 30);
  }

  parallels() {
    return steps(-60, 60, 30);
  }
}

/** Stereographic: a field `degrees` high around a centre. */
export class Field {
  constructor(lon, lat, degrees, ratio) {
    Object.assign(this, { lon, lat, degrees });
    this.height = 4 * Math.tan(degrees * RAD / 4);
    this.width = this.height * ratio;
  }

  project(lon, lat) {
    const [sin0, cos0] = [Math.sin(this.lat * RAD), Math.cos(this.lat * RAD)];
    const [sin, cos] = [Math.sin(lat * RAD), Math.cos(lat * RAD)];
    const [sinD, cosD] = [Math.sin((lon - this.lon) * RAD), Math.cos((lon - this.lon) * RAD)];
    const along = sin0 * sin + cos0 * cos * cosD;
    if (along < -0.9) {
      return null;
    }
    const k = 2 / (1 + along);
    return [-k * cos * sinD, k * (cos0 * sin - sin0 * cos * cosD)];
  }

  /** The place on the sky that `project` puts at x, y. */
  unproject(x, y) {
    const rho = Math.hypot(x, y);
    if (rho === 0) {
      return [this.lon, this.lat];
    }
    const c = 2 * Math.atan(rho / 2);
    const [sin0, cos0] = [Math.sin(this.lat * RAD), Math.cos(this.lat * RAD)];
    const lat = Math.asin(Math.cos(c) * sin0 + (y * Math.sin(c) * cos0) / rho) / RAD;
    const lon = this.lon + Math.atan2(-x * Math.sin(c), rho * cos0 * Math.cos(c) - y * sin0 * Math.sin(c)) / RAD;
    return [((lon % 360) + 360) % 360, lat];
  }

  joins(one, other) {
    return Math.hypot(one[0] - other[0], one[1] - other[1]) < this.width;
  }

  meridians() {
    const reach = this.degrees * this.width / this.height;
    const polar = Math.abs(this.lat) + this.degrees > 85;
    const step = nice((polar ? 180 : reach / Math.cos(this.lat * RAD)) / 6);
    const half = polar ? 180 : (reach / Math.cos(this.lat * RAD)) / 2 + step;
    return steps(Math.ceil((this.lon - half) / step) * step, this.lon + Math.min(half, 180), step);
  }

  parallels() {
    const step = nice(this.degrees / 5);
    const low = Math.max(-90 + step, Math.ceil((this.lat - this.degrees) / step) * step);
    return steps(low, Math.min(90 - step, this.lat + this.degrees), step);
  }
}

/** The centre of directions and the radius around it that holds them all, in degrees. */
export function extent(points) {
  const sum = [0, 0, 0];
  const directions = points.map(({ lon, lat }) => direction(lon, lat));
  for (const each of directions) {
    each.forEach((part, axis) => { sum[axis] += part; });
  }
  const length = Math.hypot(...sum);
  if (length < 1e-6 * points.length) {
    return { lon: 0, lat: 0, radius: 180 };
  }
  const centre = sum.map((part) => part / length);
  const widest = directions.reduce((most, each) => Math.max(most, chord(each, centre)), 0);
  return {
    lon: (Math.atan2(centre[1], centre[0]) / RAD + 360) % 360,
    lat: Math.asin(Math.max(-1, Math.min(1, centre[2]))) / RAD,
    radius: 2 * Math.asin(Math.min(1, widest / 2)) / RAD,
  };
}

/** The galactic equator, from its pole (J2000: 192.859508, 27.128336), for orientation. */
export const GALACTIC_EQUATOR = steps(0, 360, 2).map((l) => fromGalactic(l, 0));

/** The ecliptic, J2000. */
export const ECLIPTIC = steps(0, 360, 2).map((l) => {
  const tilt = 23.4392911 * RAD;
  const [x, y] = [Math.cos(l * RAD), Math.sin(l * RAD)];
  return [(Math.atan2(y * Math.cos(tilt), x) / RAD + 360) % 360, Math.asin(y * Math.sin(tilt)) / RAD];
});

function fromGalactic(l, b) {
  const [pole, node] = [27.128336 * RAD, (122.931918 - l) * RAD];
  const lat = Math.asin(Math.sin(b * RAD) * Math.sin(pole) + Math.cos(b * RAD) * Math.cos(pole) * Math.cos(node));
  const lon = Math.atan2(Math.cos(b * RAD) * Math.sin(node),
    Math.sin(b * RAD) * Math.cos(pole) - Math.cos(b * RAD) * Math.sin(pole) * Math.cos(node));
  return [(lon / RAD + 192.859508 + 360) % 360, lat / RAD];
}

function direction(lon, lat) {
  const cos = Math.cos(lat * RAD);
  return [cos * Math.cos(lon * RAD), cos * Math.sin(lon * RAD), Math.sin(lat * RAD)];
}

function chord(one, other) {
  return Math.hypot(one[0] - other[0], one[1] - other[1], one[2] - other[2]);
}

function auxiliary(lat) {
  if (Math.abs(lat) > Math.PI / 2 - 1e-6) {
    return Math.sign(lat) * Math.PI / 2;
  }
  let theta = lat;
  for (let turn = 0; turn < 12; turn += 1) {
    const step = (2 * theta + Math.sin(2 * theta) - Math.PI * Math.sin(lat)) / (2 + 2 * Math.cos(2 * theta));
    theta -= step;
    if (Math.abs(step) < 1e-7) {
      break;
    }
  }
  return theta;
}

function steps(from, to, step) {
  const found = [];
  for (let value = from; value <= to + step * 1e-9; value += step) {
    found.push(value);
  }
  return found;
}

function nice(rough) {
  return [1 / 3600, 5 / 3600, 15 / 3600, 1 / 60, 5 / 60, 10 / 60, 0.5, 1, 2, 5, 10, 15, 30].find((step) => step >= rough) ?? 30;
}
