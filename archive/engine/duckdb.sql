-- Spherical geometry, HEALPix, joins by position and texts for DuckDB, as macros: they expand in place, so the
-- optimizer sees through them, and cost nothing where they are not used. Each names only those before it.
--
-- Angles are degrees, points DOUBLE[2], circles DOUBLE[3], polygons flat lists of longitudes and latitudes.
-- list_transform([x], lambda n: ...)[1] is how SQL says "let n be x"; arguments stand only in x, since a subquery or an
-- aggregate cannot stand inside a lambda, and so that a long argument is written and computed once. Expansion is by
-- text: a lambda's name must not be one that an argument used in its body may hold.

-- What lies this close to a boundary counts as on it (sky.TOLERANCE), in degrees and radians; a count above all edges.
CREATE MACRO tolerance() AS 1e-12;
CREATE MACRO rim() AS 1.7453292519943295e-14;
CREATE MACRO on_boundary() AS 1000000;

-- An exact test behind a cheap one that stands before it, too: filters are planned in half the time if DuckDB does not
-- take the exact one apart.
CREATE MACRO where_so(cheap, exact) AS CASE WHEN cheap THEN exact END;

-- Points. separation takes half angles on both sides: exact to rounding for tiny separations and for
-- antipodes alike. The first test of within and closer follows from the second; it is cheap, and statistics and
-- sorted joins can use it.
CREATE MACRO separation(lon1, lat1, lon2, lat2) AS degrees(2 * atan2(
    sqrt(pow(sin(radians(lat2 - lat1) / 2), 2)
        + cos(radians(lat1)) * cos(radians(lat2)) * pow(sin(radians(lon2 - lon1) / 2), 2)),
    sqrt(pow(sin(radians(lat1 + lat2) / 2), 2)
        + cos(radians(lat1)) * cos(radians(lat2)) * pow(cos(radians(lon2 - lon1) / 2), 2))));
CREATE MACRO within(lon1, lat1, lon2, lat2, r) AS (lat1 BETWEEN lat2 - (r + tolerance()) AND lat2 + (r + tolerance())
    AND separation(lon1, lat1, lon2, lat2) <= r + tolerance());
CREATE MACRO closer(lon1, lat1, lon2, lat2, r) AS (lat1 BETWEEN lat2 - (r - tolerance()) AND lat2 + (r - tolerance())
    AND separation(lon1, lat1, lon2, lat2) < r - tolerance());
CREATE MACRO turned(lon) AS (lon - 360 * floor(lon / 360));
CREATE MACRO point(lon, lat) AS CASE WHEN lon + lat IS NOT NULL THEN CAST([lon, lat] AS DOUBLE[2]) END;
CREATE MACRO circle(lon, lat, r) AS CASE WHEN lon + lat + r IS NOT NULL THEN CAST([lon, lat, r] AS DOUBLE[3]) END;
CREATE MACRO polygon(v) AS list_transform([CAST(v AS DOUBLE[])],
    lambda w: CASE WHEN list_count(w) = len(w) THEN w END)[1];

-- Unit vectors are DOUBLE[3].
CREATE MACRO unit(lon, lat) AS array_value(
    cos(radians(lat)) * cos(radians(lon)), cos(radians(lat)) * sin(radians(lon)), sin(radians(lat)));
CREATE MACRO difference(a, b) AS array_value(a[1] - b[1], a[2] - b[2], a[3] - b[3]);
CREATE MACRO addition(a, b) AS array_value(a[1] + b[1], a[2] + b[2], a[3] + b[3]);
CREATE MACRO dot(a, b) AS array_inner_product(a, b);
CREATE MACRO product(a, b) AS array_cross_product(a, b);
CREATE MACRO norm(a) AS sqrt(array_inner_product(a, a));
CREATE MACRO apart(a, b) AS 2 * atan2(norm(difference(a, b)), norm(addition(a, b)));
CREATE MACRO longitude(a) AS turned(degrees(atan2(a[2], a[1])));
CREATE MACRO latitude(a) AS degrees(atan2(a[3], sqrt(a[1] * a[1] + a[2] * a[2])));

-- An outline is a polygon made ready for tests: its edges, whether the north pole is inside (1 or 0) and the area its
-- turns around the pole sweep. An edge is a list: [1] [2] the longitudes between which it lies, from west to east,
-- [3-5] start, [6-8] end and [9-11] normal of its great circle as unit vectors, [12] the chord from start to end,
-- [13] 1 if it goes east, else -1. Normals come from the difference of the ends: exact to rounding however short the
-- edge is. duckdb_macros.outline_rows makes the same of a constant polygon.
CREATE MACRO step(lon, next) AS (next - lon - 360 * floor((next - lon + 180) / 360));
CREATE MACRO corners(v) AS list_transform(range(1, len(v) // 2 + 1),
    lambda i: {'lon': turned(v[2 * i - 1]), 'lat': v[2 * i], 'p': unit(v[2 * i - 1], v[2 * i])});
CREATE MACRO paired(c) AS list_transform(range(1, len(c) + 1), lambda i: {
    'lon': c[i].lon, 'lat': c[i].lat, 'a': c[i].p,
    'next': c[i % len(c) + 1].lon, 'next_lat': c[i % len(c) + 1].lat, 'b': c[i % len(c) + 1].p,
    'd': difference(c[i % len(c) + 1].p, c[i].p)});
CREATE MACRO slice(k) AS 2 * atan2(sin(radians(step(k.lon, k.next))),
    tan(radians(k.lat + 90) / 2) * tan(radians(k.next_lat + 90) / 2) + cos(radians(step(k.lon, k.next))));
CREATE MACRO row_of(k, n) AS [
    CASE WHEN step(k.lon, k.next) >= 0 THEN k.lon ELSE k.next END,
    CASE WHEN step(k.lon, k.next) >= 0 THEN k.next ELSE k.lon END,
    k.a[1], k.a[2], k.a[3], k.b[1], k.b[2], k.b[3],
    CASE WHEN norm(n) > 0 THEN n[1] / norm(n) ELSE 0 END,
    CASE WHEN norm(n) > 0 THEN n[2] / norm(n) ELSE 0 END,
    CASE WHEN norm(n) > 0 THEN n[3] / norm(n) ELSE 0 END,
    norm(k.d), CASE WHEN step(k.lon, k.next) >= 0 THEN 1 ELSE -1 END];
CREATE MACRO pairs(v) AS list_transform([corners(v)], lambda c: paired(c))[1];
CREATE MACRO swept(ks) AS list_sum(list_transform(ks, lambda k: slice(k)));
CREATE MACRO turns(ks) AS round(abs(list_sum(list_transform(ks, lambda k: step(k.lon, k.next)))) / 360);
CREATE MACRO outline_of(pairs) AS {
    'edges': list_transform(pairs, lambda k: row_of(k, product(k.a, k.d))),
    'pole': CASE WHEN (turns(pairs) % 2 = 1) = (abs(swept(pairs)) <= 2 * pi()) THEN 1 ELSE 0 END,
    'swept': swept(pairs)};
CREATE MACRO outline(v) AS list_transform(
    list_transform([v], lambda w: CASE WHEN list_count(w) = len(w) AND len(w) >= 6 THEN pairs(w) END),
    lambda ks: CASE WHEN ks IS NOT NULL THEN outline_of(ks) END)[1];

-- Inside by the parity of the edges that the meridian northwards of a position crosses; on an edge is inside.
CREATE MACRO side(e, p) AS (e[9] * (p[1] - e[3]) + e[10] * (p[2] - e[4]) + e[11] * (p[3] - e[5]));
CREATE MACRO on_edge(e, p) AS (abs(side(e, p)) <= rim()
    AND (p[1] - e[3]) * (p[1] - e[6]) + (p[2] - e[4]) * (p[2] - e[7])
    + (p[3] - e[5]) * (p[3] - e[8]) <= rim() * (e[12] + rim()));
CREATE MACRO spans(e, lon) AS
    (CAST(lon >= e[1] AS INTEGER) + CAST(lon < e[2] AS INTEGER) + CAST(e[1] > e[2] AS INTEGER) = 2);
CREATE MACRO crossings(edges, lon, p) AS list_sum(list_transform(edges, lambda q: CASE
    WHEN on_edge(q, p) THEN on_boundary() WHEN spans(q, lon) AND side(q, p) * q[13] < 0 THEN 1 ELSE 0 END));
CREATE MACRO inside(edges, pole, lon, p) AS list_transform([crossings(edges, lon, p)],
    lambda n: n >= on_boundary() OR n % 2 != pole)[1];
CREATE MACRO point_in_outline(x, y, outline) AS list_transform(
    [{'o': outline, 'lon': turned(x), 'p': unit(x, y)}],
    lambda s: CASE WHEN s.lon + s.p[1] + s.o.pole IS NOT NULL THEN inside(s.o.edges, s.o.pole, s.lon, s.p) END)[1];

-- Distances to edges; edges that cross.
CREATE MACRO start_of(e) AS array_value(e[3], e[4], e[5]);
CREATE MACRO end_of(e) AS array_value(e[6], e[7], e[8]);
CREATE MACRO normal_of(e) AS array_value(e[9], e[10], e[11]);
CREATE MACRO beside(e, p) AS (e[12] > 0 AND dot(product(normal_of(e), start_of(e)), p) >= 0
    AND dot(product(end_of(e), normal_of(e)), p) >= 0);
CREATE MACRO edge_distance(e, p) AS CASE WHEN beside(e, p)
    THEN atan2(abs(side(e, p)), norm(product(normal_of(e), p)))
    ELSE least(apart(start_of(e), p), apart(end_of(e), p)) END;
CREATE MACRO boundary_distance(edges, p) AS degrees(list_min(list_transform(edges, lambda q: edge_distance(q, p))));
CREATE MACRO sides_differ(e, f) AS (side(e, start_of(f)) * side(e, end_of(f)) < 0
    AND side(f, start_of(e)) * side(f, end_of(e)) < 0 AND side(e, start_of(f)) * side(f, start_of(e)) < 0);
CREATE MACRO edges_cross(es, fs) AS list_bool_or(list_transform(es,
    lambda e: list_bool_or(list_transform(fs, lambda f: sides_differ(e, f)))));

-- Relations of shapes. What a circle leaves out is a circle around its antipode: a polygon inside the circle must not
-- reach into that.
CREATE MACRO point_in_polygon(x, y, v) AS point_in_outline(x, y, outline(v));
CREATE MACRO holds_circle(o, lon, p, r) AS
    (inside(o.edges, o.pole, lon, p) AND boundary_distance(o.edges, p) >= r - tolerance());
CREATE MACRO circle_in_polygon(c, v) AS list_transform(
    list_transform([{'o': outline(v), 'c': c}], lambda s: CASE WHEN s.o IS NOT NULL AND s.c IS NOT NULL THEN
        {'o': s.o, 'lon': turned(s.c[1]), 'p': unit(s.c[1], s.c[2]), 'r': s.c[3]} END),
    lambda s: CASE WHEN s IS NOT NULL THEN holds_circle(s.o, s.lon, s.p, s.r) END)[1];
CREATE MACRO stays_away(o, lon, p, r) AS
    (r <= 0 OR (NOT inside(o.edges, o.pole, lon, p) AND boundary_distance(o.edges, p) >= r - tolerance()));
CREATE MACRO polygon_in_circle(v, c) AS list_transform(
    list_transform([{'o': outline(v), 'c': c}], lambda s: CASE WHEN s.o IS NOT NULL AND s.c IS NOT NULL THEN
        {'o': s.o, 'lon': turned(s.c[1] + 180), 'p': unit(s.c[1] + 180, -s.c[2]), 'r': 180 - s.c[3]} END),
    lambda s: CASE WHEN s IS NOT NULL THEN stays_away(s.o, s.lon, s.p, s.r) END)[1];
-- A circle made ready: [1-3] its centre as a unit vector, [4] its longitude, and what tells whether a vertex or an edge is
-- within its radius without measuring how far it is: [5] 1, or -1 for more than 90 degrees, where distances are taken from
-- the antipode, [6] the square of the chord to the rim, [7] the sine of the radius. Vertices are the starts of edges.
CREATE MACRO ready_circle(x, y, r) AS [
    cos(radians(y)) * cos(radians(x)), cos(radians(y)) * sin(radians(x)), sin(radians(y)), turned(x),
    CASE WHEN r <= 90 THEN 1 ELSE -1 END,
    CASE WHEN r <= 90 THEN pow(2 * sin(radians(r + tolerance()) / 2), 2)
        ELSE -pow(2 * cos(radians(least(r + tolerance(), 180)) / 2), 2) END,
    CASE WHEN r + tolerance() < 90 THEN sin(radians(r + tolerance())) ELSE 2 END];
CREATE MACRO gap(e, c) AS c[5] * (pow(c[1] - c[5] * e[3], 2) + pow(c[2] - c[5] * e[4], 2) + pow(c[3] - c[5] * e[5], 2));
CREATE MACRO reaches(e, c) AS (gap(e, c) <= c[6]
    OR (abs(side(e, c)) <= c[7] AND beside(e, array_value(c[1], c[2], c[3]))));
CREATE MACRO comes_near(o, c) AS (inside(o.edges, o.pole, c[4], c)
    OR list_bool_or(list_transform(o.edges, lambda e: reaches(e, c))));
CREATE MACRO polygon_meets_circle(v, c) AS list_transform(
    list_transform([{'o': outline(v), 'c': c}], lambda s: CASE WHEN s.o IS NOT NULL AND s.c IS NOT NULL THEN
        {'o': s.o, 'c': ready_circle(s.c[1], s.c[2], s.c[3]), 'r': s.c[3]} END),
    lambda s: CASE WHEN s IS NOT NULL THEN s.r >= 0 AND comes_near(s.o, s.c) END)[1];
CREATE MACRO circle_meets_polygon(c, v) AS polygon_meets_circle(v, c);
CREATE MACRO holds(o, p) AS inside(o.edges, o.pole, longitude(p), p);
CREATE MACRO starts(edges) AS list_transform(edges, lambda e: start_of(e));
CREATE MACRO middles(edges) AS list_transform(
    list_transform(edges, lambda e: addition(start_of(e), end_of(e))), lambda m: unit(longitude(m), latitude(m)));
CREATE MACRO polygon_in_polygon(v, w) AS list_transform([{'i': outline(v), 'o': outline(w)}], lambda s:
    CASE WHEN s.i IS NOT NULL AND s.o IS NOT NULL THEN
        list_bool_and(list_transform(list_concat(starts(s.i.edges), middles(s.i.edges)), lambda m: holds(s.o, m)))
        AND NOT edges_cross(s.i.edges, s.o.edges) END)[1];
CREATE MACRO polygon_meets_polygon(v, w) AS list_transform([{'i': outline(v), 'o': outline(w)}], lambda s:
    CASE WHEN s.i IS NOT NULL AND s.o IS NOT NULL THEN edges_cross(s.i.edges, s.o.edges)
        OR list_bool_or(list_transform(starts(s.i.edges), lambda m: holds(s.o, m)))
        OR list_bool_or(list_transform(starts(s.o.edges), lambda m: holds(s.i, m))) END)[1];

-- Measures. Half the sum of each edge's angle times its normal is the integral of position over the side to the left.
-- polygon_cap is a circle around all vertices, the whole sky where none below 90 degrees is sure to hold the polygon.
CREATE MACRO polygon_area(v) AS pow(180 / pi(), 2)
    * list_transform([abs(outline(v).swept)], lambda a: least(a, 4 * pi() - a))[1];
CREATE MACRO edge_angle(e) AS 2 * asin(least(1, e[12] / 2));
CREATE MACRO moment(edges, axis) AS list_sum(list_transform(edges, lambda e: edge_angle(e) * e[axis]));
CREATE MACRO mass_centre(o) AS list_transform([CASE WHEN (o.swept > 0) = (abs(o.swept) <= 2 * pi()) THEN 1 ELSE -1 END],
    lambda s: array_value(s * moment(o.edges, 9), s * moment(o.edges, 10), s * moment(o.edges, 11)))[1];
CREATE MACRO polygon_centroid(v) AS list_transform(
    list_transform([outline(v)], lambda o: CASE WHEN o IS NOT NULL THEN mass_centre(o) END),
    lambda m: CASE WHEN m IS NOT NULL THEN point(longitude(m), latitude(m)) END)[1];
CREATE MACRO rotated_vertex(p, m) AS list_transform([array_value(m[1] * p[1] + m[2] * p[2] + m[3] * p[3],
    m[4] * p[1] + m[5] * p[2] + m[6] * p[3], m[7] * p[1] + m[8] * p[2] + m[9] * p[3])],
    lambda q: [longitude(q), latitude(q)])[1];
CREATE MACRO rotate(v, m) AS list_transform([{'v': v, 'm': m}],
    lambda s: flatten(list_transform(corners(s.v), lambda c: rotated_vertex(c.p, s.m))))[1];
CREATE MACRO middle_of(ps) AS array_value(
    list_avg(list_transform(ps, lambda p: p[1])), list_avg(list_transform(ps, lambda p: p[2])),
    list_avg(list_transform(ps, lambda p: p[3])));
CREATE MACRO reach_of(ps, m) AS CASE WHEN norm(m) > 1e-3
    THEN degrees(list_max(list_transform(ps, lambda p: apart(p, unit(longitude(m), latitude(m)))))) ELSE 180 END;
CREATE MACRO cap_of(ps, m) AS list_transform([reach_of(ps, m)],
    lambda r: [longitude(m), latitude(m), CASE WHEN r < 89 THEN r ELSE 180 END])[1];
CREATE MACRO polygon_cap(v) AS list_transform(
    list_transform([v], lambda w: CASE WHEN list_count(w) = len(w) AND len(w) >= 6 THEN
        list_transform(corners(w), lambda c: c.p) END),
    lambda ps: CASE WHEN ps IS NOT NULL THEN list_transform([middle_of(ps)], lambda m: cap_of(ps, m))[1] END)[1];

-- HEALPix, nested (Gorski et al. 2005, ApJ 622, 759); near the poles by half angles, to keep precision. A position on
-- the border of cells may be found in either. Along the belt s counts the diagonals rising east, d those falling.
CREATE MACRO spread16(x) AS ((x | (x << 16)) & 281470681808895);
CREATE MACRO spread8(x) AS ((x | (x << 8)) & 71777214294589695);
CREATE MACRO spread4(x) AS ((x | (x << 4)) & 1085102592571150095);
CREATE MACRO spread2(x) AS ((x | (x << 2)) & 3689348814741910323);
CREATE MACRO spread1(x) AS ((x | (x << 1)) & 6148914691236517205);
CREATE MACRO spread(i) AS spread1(spread2(spread4(spread8(spread16(i)))));
CREATE MACRO gather1(x) AS ((x | (x >> 1)) & 3689348814741910323);
CREATE MACRO gather2(x) AS ((x | (x >> 2)) & 1085102592571150095);
CREATE MACRO gather4(x) AS ((x | (x >> 4)) & 71777214294589695);
CREATE MACRO gather8(x) AS ((x | (x >> 8)) & 281470681808895);
CREATE MACRO gather16(x) AS ((x | (x >> 16)) & 4294967295);
CREATE MACRO gather(i) AS gather16(gather8(gather4(gather2(gather1(i & 6148914691236517205)))));
CREATE MACRO whole(x) AS CAST(floor(x) AS BIGINT);
CREATE MACRO belt(k, n, s, d) AS {'i': s & (n - 1), 'j': n - (d & (n - 1)) - 1,
    'face': CASE WHEN (d >> k) = (s >> k) THEN (s >> k) % 4 + 4 WHEN (d >> k) < (s >> k) THEN d >> k
        ELSE (s >> k) + 8 END};
CREATE MACRO cap(n, q, north, i, j) AS {'face': CASE WHEN north THEN q ELSE q + 8 END,
    'i': CASE WHEN north THEN n - j - 1 ELSE i END, 'j': CASE WHEN north THEN n - i - 1 ELSE j END};
CREATE MACRO in_face(k, n, t, q, z, h, north) AS CASE WHEN abs(z) <= 2 / 3::DOUBLE
    THEN belt(k, n, whole(n * (0.5 + t + 0.75 * z)), whole(n * (0.5 + t - 0.75 * z)))
    ELSE cap(n, q, north, least(n - 1, whole((t - q) * n * h)), least(n - 1, whole((1 - t + q) * n * h))) END;
CREATE MACRO healpix_parts(k, lon, lat) AS {'k': CAST(k AS BIGINT), 'n': CAST(1 AS BIGINT) << k,
    't': turned(lon) / 90, 'q': least(3, whole(turned(lon) / 90)), 'z': sin(radians(lat)),
    'h': sqrt(6) * sin(radians(90 - abs(lat)) / 2), 'north': lat > 0};
CREATE MACRO healpix_index(k, lon, lat) AS list_transform(
    list_transform(list_transform([{'k': k, 'lon': lon, 'lat': lat}],
        lambda s: CASE WHEN s.k BETWEEN 0 AND 29 AND abs(s.lat) <= 90 AND isfinite(s.lon)
            THEN healpix_parts(s.k, s.lon, s.lat) END),
        lambda s: {'k': s.k, 'f': in_face(s.k, s.n, s.t, s.q, s.z, s.h, s.north)}),
    lambda s: (s.f.face << (2 * s.k)) + spread(s.f.i) + 2 * spread(s.f.j))[1];
CREATE MACRO ring_of(n, face, i, j) AS ((CASE WHEN face < 4 THEN 2 WHEN face < 8 THEN 3 ELSE 4 END) * n - i - j - 1);
CREATE MACRO across(face) AS (CASE WHEN face BETWEEN 4 AND 7 THEN 2 * (face % 4) ELSE 2 * (face % 4) + 1 END);
CREATE MACRO healpix_point(n, face, i, j, ring) AS CASE
    WHEN ring < n THEN
        [turned(45 * (across(face) * ring + i - j) / ring), 90 - degrees(2 * asin(ring / n / sqrt(6)))]
    WHEN ring > 3 * n THEN
        [turned(45 * (across(face) * (4 * n - ring) + i - j) / (4 * n - ring)),
         degrees(2 * asin((4 * n - ring) / n / sqrt(6))) - 90]
    ELSE [turned(45 * (across(face) * n + i - j) / n), degrees(asin(2 * (2 * n - ring) / (3 * n)))] END;
CREATE MACRO cell_parts(k, cell) AS {'n': CAST(1 AS BIGINT) << k, 'face': cell >> (2 * k),
    'i': gather(cell & ((CAST(1 AS BIGINT) << (2 * k)) - 1)),
    'j': gather((cell & ((CAST(1 AS BIGINT) << (2 * k)) - 1)) >> 1)};
CREATE MACRO healpix_center(k, cell) AS CAST(list_transform(
    list_transform([{'k': k, 'cell': CAST(cell AS BIGINT)}],
        lambda s: CASE WHEN s.k BETWEEN 0 AND 29 AND s.cell >= 0 AND s.cell < (CAST(12 AS BIGINT) << (2 * s.k))
            THEN cell_parts(s.k, s.cell) END),
    lambda s: CASE WHEN s IS NOT NULL THEN
        healpix_point(s.n, s.face, s.i, s.j, ring_of(s.n, s.face, s.i, s.j)) END)[1] AS DOUBLE[2]);

-- Joins by position: the sky in zones of height h, each cut into blocks about as wide. match_cell is where a position
-- lies, match_cells all cells that positions within r of it can lie in.
CREATE MACRO blocks(zone, h) AS greatest(1, whole(
    360 * cos(radians(greatest(-90::DOUBLE, least(90::DOUBLE, (zone + 0.5) * h - 90)))) / h));
CREATE MACRO block_of(lon, n) AS least(whole(turned(lon) / 360 * n), n - 1);
CREATE MACRO match_key(zone, block) AS (zone * 4194304 + block);
CREATE MACRO match_cell(lon, lat, h) AS match_key(
    whole((lat + 90) / h), block_of(lon, blocks(floor((lat + 90) / h), h)));
CREATE MACRO half_width(lat, r) AS CASE WHEN abs(lat) + r >= 89.99 THEN 180
    ELSE degrees(asin(least(1, sin(radians(r)) / cos(radians(lat))))) END;
CREATE MACRO zone_cells(zone, n, low, high) AS list_transform(
    CASE WHEN high - low + 1 >= n THEN range(0, n) ELSE range(low, high + 1) END,
    lambda b: match_key(zone, ((b % n) + n) % n));
CREATE MACRO match_zones(lon, lat, r, w, h) AS flatten(list_transform(
    range(greatest(0, whole((lat - r + 90) / h)), whole((least(90, lat + r) + 90) / h) + 1),
    lambda z: zone_cells(z, blocks(z, h),
        whole((lon - w) / 360 * blocks(z, h)), whole((lon + w) / 360 * blocks(z, h)))));
CREATE MACRO match_height(r) AS coalesce(greatest(0.005, 4 * r), 1);
CREATE MACRO match_cells(lon, lat, r, h) AS list_transform(
    list_transform([{'lon': lon, 'lat': lat, 'r': r + 1e-9, 'h': h}],
        lambda s: {'lon': turned(s.lon), 'lat': s.lat, 'r': s.r, 'w': half_width(s.lat, s.r), 'h': s.h}),
    lambda s: match_zones(s.lon, s.lat, s.r, s.w, s.h))[1];

-- Texts: sexagesimal angles, words, lists.
CREATE MACRO sexagesimal(part) AS
    (TRY_CAST(part.d AS DOUBLE) + TRY_CAST(part.m AS DOUBLE) / 60 + TRY_CAST(part.s AS DOUBLE) / 3600);
CREATE MACRO signed(part) AS (CASE WHEN part.sign = '-' THEN -1 ELSE 1 END * sexagesimal(part));
CREATE MACRO hms(t) AS 15 * coalesce(
    sexagesimal(regexp_extract(t, '^\s*(\d+):([0-5]?\d):([0-5]?\d(?:\.\d*)?)\s*$', ['d', 'm', 's'])),
    sexagesimal(regexp_extract(t, '^\s*(\d{2})([0-5]\d)([0-5]\d(?:\.\d*)?)\s*$', ['d', 'm', 's'])),
    sexagesimal(regexp_extract(
        lower(t), '^\s*(\d+)h\s*([0-5]?\d)m\s*([0-5]?\d(?:\.\d*)?)s\s*$', ['d', 'm', 's'])));
CREATE MACRO dms(t) AS coalesce(
    signed(regexp_extract(
        t, '^\s*([+-]?)(\d+):([0-5]?\d):([0-5]?\d(?:\.\d*)?)\s*$', ['sign', 'd', 'm', 's'])),
    signed(regexp_extract(
        t, '^\s*([+-]?)(\d{2,3})([0-5]\d)([0-5]\d(?:\.\d*)?)\s*$', ['sign', 'd', 'm', 's'])),
    signed(regexp_extract(
        lower(t), '^\s*([+-]?)(\d+)d\s*([0-5]?\d)m\s*([0-5]?\d(?:\.\d*)?)s\s*$', ['sign', 'd', 'm', 's'])));
CREATE MACRO words(t) AS regexp_extract_all(lower(t), '[\p{L}\p{N}]+');
CREATE MACRO has_words(haystack, needle) AS CAST(list_has_all(words(haystack), words(needle)) AS INTEGER);
CREATE MACRO hash_listed(elements, item) AS
    CAST(list_contains(string_split(lower(elements), '#'), lower(item)) AS INTEGER);

-- Histograms: bins 0 (below, and NULL) to n + 1 (above).
CREATE MACRO bin_of(x, low, high, n) AS CASE WHEN x >= high THEN n + 1
    WHEN x >= low THEN least(n, 1 + whole((x - low) / (high - low) * n)) ELSE 0 END;
CREATE MACRO counts(bins, n) AS list_transform(range(0, n + 2), lambda i: coalesce(map_extract(bins, i)[1], 0));
