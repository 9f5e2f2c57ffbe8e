-- Our functions in PostgreSQL: arithmetic without errors, spherical geometry, HEALPix, joins by position, texts.
--
-- They mean what duckdb.sql means, by the same names. One-liners are LANGUAGE sql, so that the planner puts their bodies
-- in place of the call; what needs a variable or a loop is plpgsql. Angles are degrees, points, circles and polygons are
-- float8[]; products of tiny numbers are kept from underflow, which PostgreSQL holds for an error.
-- Run once per database by postgres_setup; running it again changes nothing.

CREATE SCHEMA IF NOT EXISTS archive_udf;
GRANT USAGE ON SCHEMA archive_udf TO PUBLIC;

-- Types: a byte without sign; letters of all alphabets in databases whose own locale is C.
DO $$ BEGIN
    CREATE DOMAIN archive_udf.byte AS smallint CHECK (VALUE BETWEEN 0 AND 255);
EXCEPTION WHEN duplicate_object THEN NULL; END $$;
CREATE COLLATION IF NOT EXISTS archive_udf.letters (PROVIDER = libc, LOCALE = 'C.UTF-8');

-- Intervals between two doubles, in either order, and their ends.
DO $$ BEGIN
    CREATE TYPE archive_udf.span AS RANGE (subtype = float8, subtype_diff = float8mi);
EXCEPTION WHEN duplicate_object THEN NULL; END $$;
CREATE OR REPLACE FUNCTION archive_udf.span_of(x float8, y float8) RETURNS archive_udf.span
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN x IS NOT NULL AND y IS NOT NULL THEN archive_udf.span(least(x, y), greatest(x, y), '[]') END;

-- Arithmetic: domain errors are NULL.
CREATE OR REPLACE FUNCTION archive_udf.bounded(x float8) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN x > '-Infinity' AND x < 'Infinity';
-- What leaves the range of its type is NULL, what is too small for it 0; 1.7976931348623157e308 is the largest double.
CREATE OR REPLACE FUNCTION archive_udf.plus(x float8, y float8) RETURNS float8
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
BEGIN
    IF NOT archive_udf.bounded(x) OR NOT archive_udf.bounded(y) THEN RETURN NULL; END IF;
    IF sign(x) = sign(y)
        AND greatest(abs(x), abs(y)) > 1.7976931348623157e308::float8 - least(abs(x), abs(y)) THEN
        RETURN NULL;
    END IF;
    RETURN x + y;
END $$;
CREATE OR REPLACE FUNCTION archive_udf.minus(x float8, y float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN archive_udf.plus(x, -y);
CREATE OR REPLACE FUNCTION archive_udf.times(x float8, y float8) RETURNS float8
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    small float8 := least(abs(x), abs(y));
    large float8 := greatest(abs(x), abs(y));
BEGIN
    IF NOT archive_udf.bounded(x) OR NOT archive_udf.bounded(y) THEN RETURN NULL; END IF;
    IF small > 1 AND large > 1.7976931348623157e308::float8 / small THEN RETURN NULL; END IF;
    IF small = 0 OR large < 1e-162 THEN RETURN 0; END IF;
    -- 1e301 times the product against 1e301 times half of the smallest double
    IF small < 1e-140 AND large < 1e100 AND small * 1e301::float8 * large < 2.4703282292062327e-23 THEN RETURN 0; END IF;
    RETURN x * y;
END $$;
CREATE OR REPLACE FUNCTION archive_udf.quotient(x float8, y float8) RETURNS float8
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
BEGIN
    IF NOT archive_udf.bounded(x) OR NOT archive_udf.bounded(y) OR y = 0 THEN RETURN NULL; END IF;
    IF x = 0 THEN RETURN 0; END IF;
    IF abs(y) < 1 AND abs(x) > 1.7976931348623157e308::float8 * abs(y) THEN RETURN NULL; END IF;
    -- both 1e15 times what they are, so that the smallest double can be halved
    IF abs(y) > 1 AND abs(x) < 1e-10 AND abs(x) * 1e15::float8 < abs(y) * 2.4703282292062327e-309::float8 THEN RETURN 0; END IF;
    RETURN x / y;
END $$;
CREATE OR REPLACE FUNCTION archive_udf.single(x float8) RETURNS real LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
BEGIN
    IF NOT abs(x) < 3.4028235677973366e38 THEN RETURN NULL; END IF;
    IF abs(x) <= 7.006492321624085e-46 THEN RETURN 0; END IF;
    RETURN x;
END $$;
CREATE OR REPLACE FUNCTION archive_udf.plus(x real, y real) RETURNS real LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN archive_udf.single(x::float8 + y::float8);
CREATE OR REPLACE FUNCTION archive_udf.minus(x real, y real) RETURNS real LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN archive_udf.single(x::float8 - y::float8);
CREATE OR REPLACE FUNCTION archive_udf.times(x real, y real) RETURNS real LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN archive_udf.single(x::float8 * y::float8);
CREATE OR REPLACE FUNCTION archive_udf.quotient(x real, y real) RETURNS real LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN archive_udf.single(x::float8 / nullif(y::float8, 0));
CREATE OR REPLACE FUNCTION archive_udf.remainder(x float8, y float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    left_over float8 := abs(x);
    step float8 := abs(y);
    multiple float8;
BEGIN
    -- By long division: each subtraction is exact, so the result is, whatever the quotient.
    IF NOT archive_udf.bounded(x) OR step = 0 THEN RETURN NULL; END IF;
    IF step = 'Infinity' THEN RETURN x; END IF;
    WHILE left_over >= step LOOP
        multiple := step;
        WHILE multiple <= left_over / 2 LOOP multiple := multiple * 2; END LOOP;
        left_over := left_over - multiple;
    END LOOP;
    RETURN CASE WHEN x < 0 THEN -left_over ELSE left_over END;
END $$;
CREATE OR REPLACE FUNCTION archive_udf.exp(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN x > 709.782712893384 THEN NULL WHEN x < -745.13 THEN 0 ELSE pg_catalog.exp(x) END;
CREATE OR REPLACE FUNCTION archive_udf.log(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN x > 0 AND x < 'Infinity' THEN pg_catalog.ln(x) END;
CREATE OR REPLACE FUNCTION archive_udf.log10(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN x > 0 AND x < 'Infinity' THEN pg_catalog.log(x) END;
CREATE OR REPLACE FUNCTION archive_udf.sqrt(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN x >= 0 AND x < 'Infinity' THEN pg_catalog.sqrt(x) END;
CREATE OR REPLACE FUNCTION archive_udf.acos(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN x BETWEEN -1 AND 1 THEN pg_catalog.acos(x) END;
CREATE OR REPLACE FUNCTION archive_udf.asin(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN x BETWEEN -1 AND 1 THEN pg_catalog.asin(x) END;
CREATE OR REPLACE FUNCTION archive_udf.cos(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN archive_udf.bounded(x) THEN pg_catalog.cos(x) END;
CREATE OR REPLACE FUNCTION archive_udf.cot(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN archive_udf.bounded(x) AND x <> 0 THEN pg_catalog.cot(x) END;
CREATE OR REPLACE FUNCTION archive_udf.sin(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN archive_udf.bounded(x) THEN pg_catalog.sin(x) END;
CREATE OR REPLACE FUNCTION archive_udf.tan(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN archive_udf.bounded(x) THEN pg_catalog.tan(x) END;
CREATE OR REPLACE FUNCTION archive_udf.power(x float8, y float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN NOT archive_udf.bounded(x) OR NOT archive_udf.bounded(y) THEN NULL
        WHEN x = 0 THEN CASE WHEN y < 0 THEN NULL WHEN y = 0 THEN 1 ELSE 0 END
        WHEN x < 0 AND y <> pg_catalog.floor(y) THEN NULL
        WHEN y * pg_catalog.ln(pg_catalog.abs(x)) > 709.7827 THEN NULL
        WHEN y * pg_catalog.ln(pg_catalog.abs(x)) < -745.13 THEN 0
        ELSE pg_catalog.power(x, y) END;
CREATE OR REPLACE FUNCTION archive_udf.round(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN pg_catalog.abs(x) < 4503599627370496 AND pg_catalog.abs(x - pg_catalog.trunc(x)) >= 0.5
        THEN pg_catalog.trunc(x) + pg_catalog.sign(x) ELSE pg_catalog.trunc(x) END;
CREATE OR REPLACE FUNCTION archive_udf.decimals(n bigint) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ('1e' || least(pg_catalog.abs(n), 300))::float8;
CREATE OR REPLACE FUNCTION archive_udf.round(x float8, n bigint) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN n >= 0 AND pg_catalog.abs(x) >= 4503599627370496 / archive_udf.decimals(n) THEN x
        WHEN n >= 0 THEN archive_udf.round(x * archive_udf.decimals(n)) / archive_udf.decimals(n)
        WHEN pg_catalog.abs(x) < archive_udf.decimals(n) / 4 THEN 0
        ELSE archive_udf.round(x / archive_udf.decimals(n)) * archive_udf.decimals(n) END;
CREATE OR REPLACE FUNCTION archive_udf.truncate(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.trunc(x);
CREATE OR REPLACE FUNCTION archive_udf.truncate(x float8, n bigint) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN n >= 0 AND pg_catalog.abs(x) >= 4503599627370496 / archive_udf.decimals(n) THEN x
        WHEN n >= 0 THEN pg_catalog.trunc(x * archive_udf.decimals(n)) / archive_udf.decimals(n)
        WHEN pg_catalog.abs(x) < archive_udf.decimals(n) THEN 0
        ELSE pg_catalog.trunc(x / archive_udf.decimals(n)) * archive_udf.decimals(n) END;

-- Sums stay integers, and those of single precision are made in double.
CREATE OR REPLACE FUNCTION archive_udf.addend(x bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;
CREATE OR REPLACE FUNCTION archive_udf.addend(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;
CREATE OR REPLACE FUNCTION archive_udf.total(x numeric) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x::bigint;
CREATE OR REPLACE FUNCTION archive_udf.total(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

-- Truth as a number and back: PostgreSQL casts booleans to int4 only.
CREATE OR REPLACE FUNCTION archive_udf.number(x boolean) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN x::integer;

-- Points. The first test of within and closer follows from the second and is cheap.
CREATE OR REPLACE FUNCTION archive_udf.square(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN greatest(abs(x), 1e-100) * greatest(abs(x), 1e-100);
CREATE OR REPLACE FUNCTION archive_udf.turned(lon float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN lon - 360 * floor(lon / 360);
CREATE OR REPLACE FUNCTION archive_udf.separation(lon1 float8, lat1 float8, lon2 float8, lat2 float8) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN archive_udf.bounded(lon1 + lat1 + lon2 + lat2) THEN degrees(2 * atan2(
        sqrt(archive_udf.square(sin(radians(lat2 - lat1) / 2))
            + cos(radians(lat1)) * cos(radians(lat2)) * archive_udf.square(sin(radians(lon2 - lon1) / 2))),
        sqrt(archive_udf.square(sin(radians(lat1 + lat2) / 2))
            + cos(radians(lat1)) * cos(radians(lat2)) * archive_udf.square(cos(radians(lon2 - lon1) / 2))))) END;
CREATE OR REPLACE FUNCTION archive_udf.within(lon1 float8, lat1 float8, lon2 float8, lat2 float8, r float8) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN lat1 BETWEEN lat2 - (r + 1e-12) AND lat2 + (r + 1e-12)
        AND archive_udf.separation(lon1, lat1, lon2, lat2) <= r + 1e-12;
CREATE OR REPLACE FUNCTION archive_udf.closer(lon1 float8, lat1 float8, lon2 float8, lat2 float8, r float8) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN lat1 BETWEEN lat2 - (r - 1e-12) AND lat2 + (r - 1e-12)
        AND archive_udf.separation(lon1, lat1, lon2, lat2) < r - 1e-12;
CREATE OR REPLACE FUNCTION archive_udf.point(lon float8, lat float8) RETURNS float8[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN lon IS NOT NULL AND lat IS NOT NULL THEN ARRAY[lon, lat] END;
CREATE OR REPLACE FUNCTION archive_udf.circle(lon float8, lat float8, r float8) RETURNS float8[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN lon IS NOT NULL AND lat IS NOT NULL AND r IS NOT NULL THEN ARRAY[lon, lat, r] END;
CREATE OR REPLACE FUNCTION archive_udf.polygon(v float8[]) RETURNS float8[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN array_position(v, NULL) IS NULL THEN v END;

-- Unit vectors are float8[3].
CREATE OR REPLACE FUNCTION archive_udf.unit(lon float8, lat float8) RETURNS float8[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY[cos(radians(lat)) * cos(radians(lon)), cos(radians(lat)) * sin(radians(lon)), sin(radians(lat))];
CREATE OR REPLACE FUNCTION archive_udf.dot(a float8[], b float8[]) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
CREATE OR REPLACE FUNCTION archive_udf.product(a float8[], b float8[]) RETURNS float8[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY[a[2] * b[3] - a[3] * b[2], a[3] * b[1] - a[1] * b[3], a[1] * b[2] - a[2] * b[1]];
CREATE OR REPLACE FUNCTION archive_udf.addition(a float8[], b float8[]) RETURNS float8[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY[a[1] + b[1], a[2] + b[2], a[3] + b[3]];
CREATE OR REPLACE FUNCTION archive_udf.difference(a float8[], b float8[]) RETURNS float8[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY[a[1] - b[1], a[2] - b[2], a[3] - b[3]];
CREATE OR REPLACE FUNCTION archive_udf.norm(a float8[]) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN a[1] = 0 AND a[2] = 0 AND a[3] = 0 THEN 0
        ELSE sqrt(archive_udf.square(a[1]) + archive_udf.square(a[2]) + archive_udf.square(a[3])) END;
CREATE OR REPLACE FUNCTION archive_udf.apart(a float8[], b float8[]) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 2 * atan2(archive_udf.norm(archive_udf.difference(a, b)), archive_udf.norm(archive_udf.addition(a, b)));
CREATE OR REPLACE FUNCTION archive_udf.longitude(a float8[]) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN archive_udf.turned(degrees(atan2(a[2], a[1])));
CREATE OR REPLACE FUNCTION archive_udf.latitude(a float8[]) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN degrees(atan2(a[3], archive_udf.norm(ARRAY[a[1], a[2], 0])));

-- An outline is a polygon made ready for tests, in one float8[]: [1] 1 if the north pole is inside, else 0; [2] the area
-- its turns around the pole sweep; then 13 numbers for each edge as in duckdb.sql: longitudes of its west and east end,
-- start, end and normal as unit vectors, chord, 1 if it goes east, else -1.
CREATE OR REPLACE FUNCTION archive_udf.step(lon float8, next float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN next - lon - 360 * floor((next - lon + 180) / 360);
CREATE OR REPLACE FUNCTION archive_udf.outline(v float8[]) RETURNS float8[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    n integer := cardinality(v) / 2;
    edges float8[] := '{}';
    swept float8 := 0;
    turns float8 := 0;
    lon float8; lat float8; next float8; next_lat float8; s float8;
    a float8[]; b float8[]; chord float8[]; normal float8[]; len float8;
BEGIN
    IF v IS NULL OR n < 3 OR array_position(v, NULL) IS NOT NULL THEN RETURN NULL; END IF;
    FOR i IN 1..n LOOP
        lon := archive_udf.turned(v[2 * i - 1]); lat := v[2 * i];
        next := archive_udf.turned(v[2 * (i % n) + 1]); next_lat := v[2 * (i % n) + 2];
        a := archive_udf.unit(lon, lat); b := archive_udf.unit(next, next_lat);
        s := archive_udf.step(lon, next);
        swept := swept + 2 * atan2(sin(radians(s)),
            tan(radians(lat + 90) / 2) * tan(radians(next_lat + 90) / 2) + cos(radians(s)));
        turns := turns + s;
        chord := archive_udf.difference(b, a);
        normal := archive_udf.product(a, chord);
        len := archive_udf.norm(normal);
        IF len = 0 THEN len := 1; END IF;
        edges := edges || CASE WHEN s >= 0 THEN ARRAY[lon, next] ELSE ARRAY[next, lon] END || a || b
            || ARRAY[normal[1] / len, normal[2] / len, normal[3] / len, archive_udf.norm(chord),
                     CASE WHEN s >= 0 THEN 1 ELSE -1 END];
    END LOOP;
    RETURN ARRAY[((round(abs(turns) / 360)::integer % 2 = 1) = (abs(swept) <= 2 * pi()))::integer, swept]::float8[] || edges;
END $$;

-- Inside by the parity of the edges that the meridian northwards of a position crosses; on an edge is inside.
CREATE OR REPLACE FUNCTION archive_udf.point_in_outline(lon float8, lat float8, o float8[]) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    at float8 := lon - 360 * floor(lon / 360);
    x float8 := cos(radians(lat)) * cos(radians(lon));
    y float8 := cos(radians(lat)) * sin(radians(lon));
    z float8 := sin(radians(lat));
    found boolean := o[1] = 1;
    side float8;
    e integer := 2;
    n integer := cardinality(o);
BEGIN
    IF lon IS NULL OR lat IS NULL OR o IS NULL THEN RETURN NULL; END IF;
    WHILE e < n LOOP
        side := o[e + 9] * (x - o[e + 3]) + o[e + 10] * (y - o[e + 4]) + o[e + 11] * (z - o[e + 5]);
        IF abs(side) <= 1.7453292519943295e-14 AND (x - o[e + 3]) * (x - o[e + 6]) + (y - o[e + 4]) * (y - o[e + 7])
            + (z - o[e + 5]) * (z - o[e + 8]) <= 1.7453292519943295e-14 * (o[e + 12] + 1.7453292519943295e-14) THEN
            RETURN true;
        END IF;
        IF (at >= o[e + 1])::integer + (at < o[e + 2])::integer + (o[e + 1] > o[e + 2])::integer = 2
            AND (side < 0) = (o[e + 13] > 0) AND side <> 0 THEN
            found := NOT found;
        END IF;
        e := e + 13;
    END LOOP;
    RETURN found;
END $$;
CREATE OR REPLACE FUNCTION archive_udf.point_in_polygon(lon float8, lat float8, v float8[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN archive_udf.point_in_outline(lon, lat, archive_udf.outline(v));
CREATE OR REPLACE FUNCTION archive_udf.holds(o float8[], p float8[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN archive_udf.point_in_outline(archive_udf.longitude(p), archive_udf.latitude(p), o);

-- Distance to the boundary in degrees; edges that cross.
CREATE OR REPLACE FUNCTION archive_udf.boundary_distance(o float8[], p float8[]) RETURNS float8
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    nearest float8 := pi();
    a float8[]; b float8[]; normal float8[];
BEGIN
    FOR e IN 2..cardinality(o) - 13 BY 13 LOOP
        a := o[e + 3:e + 5]; b := o[e + 6:e + 8]; normal := o[e + 9:e + 11];
        IF o[e + 12] > 0 AND archive_udf.dot(archive_udf.product(normal, a), p) >= 0
            AND archive_udf.dot(archive_udf.product(b, normal), p) >= 0 THEN
            nearest := least(nearest, atan2(abs(archive_udf.dot(normal, archive_udf.difference(p, a))),
                archive_udf.norm(archive_udf.product(normal, p))));
        ELSE
            nearest := least(nearest, archive_udf.apart(a, p), archive_udf.apart(b, p));
        END IF;
    END LOOP;
    RETURN degrees(nearest);
END $$;
CREATE OR REPLACE FUNCTION archive_udf.side(o float8[], e integer, p float8[]) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN sign(o[e + 9] * (p[1] - o[e + 3]) + o[e + 10] * (p[2] - o[e + 4]) + o[e + 11] * (p[3] - o[e + 5]))::integer;
CREATE OR REPLACE FUNCTION archive_udf.edges_cross(o float8[], q float8[]) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    at_start integer; start_at integer;
BEGIN
    FOR e IN 2..cardinality(o) - 13 BY 13 LOOP
        FOR f IN 2..cardinality(q) - 13 BY 13 LOOP
            at_start := archive_udf.side(o, e, q[f + 3:f + 5]);
            start_at := archive_udf.side(q, f, o[e + 3:e + 5]);
            IF at_start * start_at < 0 AND at_start * archive_udf.side(o, e, q[f + 6:f + 8]) < 0
                AND start_at * archive_udf.side(q, f, o[e + 6:e + 8]) < 0 THEN
                RETURN true;
            END IF;
        END LOOP;
    END LOOP;
    RETURN false;
END $$;

-- Relations of shapes. What a circle leaves out is a circle around its antipode.
CREATE OR REPLACE FUNCTION archive_udf.circle_in_polygon(c float8[], v float8[]) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE o float8[] := archive_udf.outline(v);
BEGIN
    IF o IS NULL OR c[3] IS NULL THEN RETURN NULL; END IF;
    RETURN archive_udf.point_in_outline(c[1], c[2], o)
        AND archive_udf.boundary_distance(o, archive_udf.unit(c[1], c[2])) >= c[3] - 1e-12;
END $$;
CREATE OR REPLACE FUNCTION archive_udf.polygon_in_circle(v float8[], c float8[]) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE o float8[] := archive_udf.outline(v);
BEGIN
    IF o IS NULL OR c[3] IS NULL THEN RETURN NULL; END IF;
    RETURN 180 - c[3] <= 0 OR (NOT archive_udf.point_in_outline(c[1] + 180, -c[2], o)
        AND archive_udf.boundary_distance(o, archive_udf.unit(c[1] + 180, -c[2])) >= 180 - c[3] - 1e-12);
END $$;
CREATE OR REPLACE FUNCTION archive_udf.polygon_meets_circle(v float8[], c float8[]) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE o float8[] := archive_udf.outline(v);
BEGIN
    IF o IS NULL OR c[3] IS NULL THEN RETURN NULL; END IF;
    RETURN c[3] >= 0 AND (archive_udf.point_in_outline(c[1], c[2], o)
        OR archive_udf.boundary_distance(o, archive_udf.unit(c[1], c[2])) <= c[3] + 1e-12);
END $$;
CREATE OR REPLACE FUNCTION archive_udf.circle_meets_polygon(c float8[], v float8[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN archive_udf.polygon_meets_circle(v, c);
CREATE OR REPLACE FUNCTION archive_udf.polygon_in_polygon(v float8[], w float8[]) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    i float8[] := archive_udf.outline(v);
    o float8[] := archive_udf.outline(w);
    a float8[]; b float8[];
BEGIN
    IF i IS NULL OR o IS NULL THEN RETURN NULL; END IF;
    FOR e IN 2..cardinality(i) - 13 BY 13 LOOP
        a := i[e + 3:e + 5]; b := i[e + 6:e + 8];
        IF NOT archive_udf.holds(o, a) OR NOT archive_udf.holds(o, archive_udf.addition(a, b)) THEN RETURN false; END IF;
    END LOOP;
    RETURN NOT archive_udf.edges_cross(i, o);
END $$;
CREATE OR REPLACE FUNCTION archive_udf.holds_a_start(o float8[], i float8[]) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    FOR e IN 2..cardinality(i) - 13 BY 13 LOOP
        IF archive_udf.holds(o, i[e + 3:e + 5]) THEN RETURN true; END IF;
    END LOOP;
    RETURN false;
END $$;
CREATE OR REPLACE FUNCTION archive_udf.polygon_meets_polygon(v float8[], w float8[]) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    i float8[] := archive_udf.outline(v);
    o float8[] := archive_udf.outline(w);
BEGIN
    IF i IS NULL OR o IS NULL THEN RETURN NULL; END IF;
    RETURN archive_udf.edges_cross(i, o) OR archive_udf.holds_a_start(o, i) OR archive_udf.holds_a_start(i, o);
END $$;

-- Measures.
CREATE OR REPLACE FUNCTION archive_udf.polygon_area(v float8[]) RETURNS float8 LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE swept float8 := abs((archive_udf.outline(v))[2]);
BEGIN
    RETURN (180 / pi()) * (180 / pi()) * CASE WHEN swept IS NULL THEN NULL ELSE least(swept, 4 * pi() - swept) END;
END $$;
CREATE OR REPLACE FUNCTION archive_udf.polygon_centroid(v float8[]) RETURNS float8[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    o float8[] := archive_udf.outline(v);
    m float8[] := '{0,0,0}';
    angle float8;
BEGIN
    IF o IS NULL THEN RETURN NULL; END IF;
    FOR e IN 2..cardinality(o) - 13 BY 13 LOOP
        angle := 2 * asin(least(1, o[e + 12] / 2)) * CASE WHEN (o[2] > 0) = (abs(o[2]) <= 2 * pi()) THEN 1 ELSE -1 END;
        m := ARRAY[m[1] + angle * o[e + 9], m[2] + angle * o[e + 10], m[3] + angle * o[e + 11]];
    END LOOP;
    RETURN ARRAY[archive_udf.longitude(m), archive_udf.latitude(m)];
END $$;
CREATE OR REPLACE FUNCTION archive_udf.rotate(v float8[], m float8[]) RETURNS float8[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    turned float8[] := '{}';
    p float8[]; q float8[];
BEGIN
    IF array_position(v, NULL) IS NOT NULL THEN RETURN NULL; END IF;
    FOR i IN 1..cardinality(v) / 2 LOOP
        p := archive_udf.unit(v[2 * i - 1], v[2 * i]);
        q := ARRAY[archive_udf.dot(m[1:3], p), archive_udf.dot(m[4:6], p), archive_udf.dot(m[7:9], p)];
        turned := turned || archive_udf.longitude(q) || archive_udf.latitude(q);
    END LOOP;
    RETURN turned;
END $$;
-- A circle around all vertices, the whole sky where none below 90 degrees is sure to hold the polygon.
CREATE OR REPLACE FUNCTION archive_udf.polygon_cap(v float8[]) RETURNS float8[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    n integer := cardinality(v) / 2;
    m float8[] := '{0,0,0}';
    reach float8 := 0;
BEGIN
    IF n = 0 OR array_position(v, NULL) IS NOT NULL THEN RETURN NULL; END IF;
    FOR i IN 1..n LOOP m := archive_udf.addition(m, archive_udf.unit(v[2 * i - 1], v[2 * i])); END LOOP;
    IF archive_udf.norm(m) / n > 1e-3 THEN
        FOR i IN 1..n LOOP
            reach := greatest(reach, archive_udf.separation(
                v[2 * i - 1], v[2 * i], archive_udf.longitude(m), archive_udf.latitude(m)));
        END LOOP;
    ELSE
        reach := 180;
    END IF;
    RETURN ARRAY[archive_udf.longitude(m), archive_udf.latitude(m), CASE WHEN reach < 89 THEN reach ELSE 180 END];
END $$;

-- What regions and places may have in common, by circles around them; the exact test follows. Where pgSphere is at hand,
-- postgres_sphere.sql says the same in its words, which its index understands.
CREATE OR REPLACE FUNCTION archive_udf.touches(
    lon1 float8, lat1 float8, r1 float8, lon2 float8, lat2 float8, r2 float8) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN archive_udf.separation(lon1, lat1, lon2, lat2) <= r1 + r2 + 1e-7;
CREATE OR REPLACE FUNCTION archive_udf.reached(lon1 float8, lat1 float8, lon2 float8, lat2 float8, r float8)
    RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN archive_udf.separation(lon1, lat1, lon2, lat2) <= r + 1e-7;

-- HEALPix, nested (Gorski et al. 2005, ApJ 622, 759); near the poles by half angles, to keep precision. A position on
-- the border of cells may be found in either. Along the belt s counts the diagonals rising east, d those falling.
CREATE OR REPLACE FUNCTION archive_udf.spread(i bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    i := (i | (i << 16)) & 281470681808895;
    i := (i | (i << 8)) & 71777214294589695;
    i := (i | (i << 4)) & 1085102592571150095;
    i := (i | (i << 2)) & 3689348814741910323;
    RETURN (i | (i << 1)) & 6148914691236517205;
END $$;
CREATE OR REPLACE FUNCTION archive_udf.gather(i bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    i := i & 6148914691236517205;
    i := (i | (i >> 1)) & 3689348814741910323;
    i := (i | (i >> 2)) & 1085102592571150095;
    i := (i | (i >> 4)) & 71777214294589695;
    i := (i | (i >> 8)) & 281470681808895;
    RETURN (i | (i >> 16)) & 4294967295;
END $$;
CREATE OR REPLACE FUNCTION archive_udf.healpix_index(k bigint, lon float8, lat float8) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    n bigint; t float8; q bigint; z float8; h float8; s bigint; d bigint; face bigint; i bigint; j bigint; f integer;
BEGIN
    IF k NOT BETWEEN 0 AND 29 OR NOT abs(lat) <= 90 OR NOT archive_udf.bounded(lon) THEN RETURN NULL; END IF;
    f := k::integer;
    n := 1::bigint << f;
    t := (lon - 360 * floor(lon / 360)) / 90;
    z := sin(radians(lat));
    IF abs(z) <= 2 / 3::float8 THEN
        s := floor(n * (0.5 + t + 0.75 * z))::bigint;
        d := floor(n * (0.5 + t - 0.75 * z))::bigint;
        i := s & (n - 1);
        j := n - (d & (n - 1)) - 1;
        face := CASE WHEN (d >> f) = (s >> f) THEN (s >> f) % 4 + 4 WHEN (d >> f) < (s >> f) THEN d >> f ELSE (s >> f) + 8 END;
    ELSE
        q := least(3, floor(t))::bigint;
        h := sqrt(6::float8) * sin(radians(90 - abs(lat)) / 2);
        i := least(n - 1, floor((t - q) * n * h)::bigint);
        j := least(n - 1, floor((1 - t + q) * n * h)::bigint);
        face := CASE WHEN lat > 0 THEN q ELSE q + 8 END;
        IF lat > 0 THEN
            s := i; i := n - j - 1; j := n - s - 1;
        END IF;
    END IF;
    RETURN (face << (2 * f)) + archive_udf.spread(i) + 2 * archive_udf.spread(j);
END $$;
CREATE OR REPLACE FUNCTION archive_udf.healpix_center(k bigint, cell bigint) RETURNS float8[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    n bigint; face bigint; i bigint; j bigint; ring bigint; across bigint; far float8; f integer;
BEGIN
    IF k NOT BETWEEN 0 AND 29 OR cell < 0 THEN RETURN NULL; END IF;
    f := k::integer;
    IF cell >= 12::bigint << (2 * f) THEN RETURN NULL; END IF;
    n := 1::bigint << f;
    face := cell >> (2 * f);
    i := archive_udf.gather(cell & ((1::bigint << (2 * f)) - 1));
    j := archive_udf.gather((cell & ((1::bigint << (2 * f)) - 1)) >> 1);
    ring := (CASE WHEN face < 4 THEN 2 WHEN face < 8 THEN 3 ELSE 4 END) * n - i - j - 1;
    across := CASE WHEN face BETWEEN 4 AND 7 THEN 2 * (face % 4) ELSE 2 * (face % 4) + 1 END;
    IF ring < n OR ring > 3 * n THEN
        far := least(ring, 4 * n - ring);
        RETURN ARRAY[archive_udf.turned(45 * (across * far + i - j) / far),
            (90 - degrees(2 * asin(far / n / sqrt(6::float8)))) * CASE WHEN ring < n THEN 1 ELSE -1 END];
    END IF;
    RETURN ARRAY[archive_udf.turned(45 * (across * n + i - j)::float8 / n), degrees(asin(2 * (2 * n - ring)::float8 / (3 * n)))];
END $$;

-- Joins by position by hashing: zones of height h, cut into blocks about as wide. match_cell is where a position lies,
-- match_cells all cells that positions within r of it can lie in.
CREATE OR REPLACE FUNCTION archive_udf.blocks(zone float8, h float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN greatest(1::float8, floor(360 * cos(radians(greatest(-90::float8, least(90::float8, (zone + 0.5) * h - 90)))) / h));
CREATE OR REPLACE FUNCTION archive_udf.match_cell(lon float8, lat float8, h float8) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    zone float8 := floor((lat + 90) / h);
    n float8 := greatest(1, floor(360 * cos(radians(greatest(-90, least(90, (zone + 0.5) * h - 90)))) / h));
BEGIN
    RETURN zone * 4194304 + least(floor((lon - 360 * floor(lon / 360)) / 360 * n), n - 1);
END $$;
CREATE OR REPLACE FUNCTION archive_udf.half_width(lat float8, r float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN abs(lat) + r >= 89.99 THEN 180
        ELSE degrees(asin(least(1, greatest(0, sin(radians(r)) / cos(radians(lat)))))) END;
CREATE OR REPLACE FUNCTION archive_udf.match_cells(lon float8, lat float8, r float8, h float8) RETURNS bigint[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    at float8 := archive_udf.turned(lon);
    reach float8 := r + 1e-9;
    width float8 := archive_udf.half_width(lat, r + 1e-9);
    cells bigint[] := '{}';
    n bigint; low bigint; high bigint;
BEGIN
    IF reach < 0 THEN RETURN cells; END IF;
    FOR zone IN greatest(0, floor((lat - reach + 90) / h))::bigint..floor((least(90, lat + reach) + 90) / h)::bigint LOOP
        n := archive_udf.blocks(zone, h)::bigint;
        low := floor((at - width) / 360 * n)::bigint;
        high := floor((at + width) / 360 * n)::bigint;
        IF high - low + 1 >= n THEN low := 0; high := n - 1; END IF;
        FOR block IN low..high LOOP
            cells := cells || (zone::bigint * 4194304 + ((block % n) + n) % n);
        END LOOP;
    END LOOP;
    RETURN cells;
END $$;
CREATE OR REPLACE FUNCTION archive_udf.match_height(r float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(greatest(0.005, 4 * r), 1);

-- Joins by position by index: near_cells are nested cells, of an order that fits r, that hold all positions within r;
-- each holds near_width(r) cells of order 29. In (x, y) of its base cell a position moves by at most 1.5 times the angle.
-- Where that may leave the base cell, 16 places on a circle of 2 r show which cells of twice the width are near: a cell
-- that reaches into the circle of r covers more than a sixteenth of the other, since no corner of a cell is below 57
-- degrees.
CREATE OR REPLACE FUNCTION archive_udf.near_order(r float8) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN least(29, greatest(0, floor(-ln(3 * radians(abs(r) + 1e-9)) / ln(2::float8))::integer));
CREATE OR REPLACE FUNCTION archive_udf.near_width(r float8) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 1::bigint << (2 * (29 - archive_udf.near_order(r)));
CREATE OR REPLACE FUNCTION archive_udf.healpix_place(lon float8, lat float8) RETURNS float8[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    t float8 := (lon - 360 * floor(lon / 360)) / 90;
    z float8 := sin(radians(lat));
    q float8; h float8; s float8; d float8;
BEGIN
    IF abs(z) <= 2 / 3::float8 THEN
        s := 0.5 + t + 0.75 * z;
        d := 0.5 + t - 0.75 * z;
        RETURN ARRAY[CASE WHEN floor(d) = floor(s) THEN floor(s)::integer % 4 + 4
            WHEN floor(d) < floor(s) THEN floor(d) ELSE floor(s) + 8 END, s - floor(s), 1 - (d - floor(d))];
    END IF;
    q := least(3, floor(t));
    h := sqrt(6::float8) * sin(radians(90 - abs(lat)) / 2);
    IF lat > 0 THEN RETURN ARRAY[q, 1 - (1 - t + q) * h, 1 - (t - q) * h]; END IF;
    RETURN ARRAY[q + 8, (t - q) * h, (1 - t + q) * h];
END $$;
CREATE OR REPLACE FUNCTION archive_udf.cells_around(lon float8, lat float8, r float8, k integer) RETURNS bigint[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    cells bigint[] := ARRAY[archive_udf.healpix_index(k - 1, lon, lat)];
    cell bigint;
    far float8 := radians(2 * r);
    up float8 := radians(lat);
    lat2 float8;
BEGIN
    FOR i IN 0..15 LOOP
        lat2 := asin(greatest(-1, least(1, sin(up) * cos(far) + cos(up) * sin(far) * cos(i * pi() / 8))));
        cell := archive_udf.healpix_index(k - 1, lon + degrees(atan2(sin(i * pi() / 8) * sin(far) * cos(up),
            cos(far) - sin(up) * sin(lat2))), degrees(lat2));
        IF NOT cell = ANY (cells) THEN cells := cells || cell; END IF;
    END LOOP;
    RETURN ARRAY(SELECT 4 * c + child FROM unnest(cells) AS c, generate_series(0, 3) AS child);
END $$;
CREATE OR REPLACE FUNCTION archive_udf.near_cells(lon float8, lat float8, r float8) RETURNS bigint[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    k integer := archive_udf.near_order(r);
    n bigint := 1::bigint << archive_udf.near_order(r);
    reach float8 := radians(r + 1e-9) * 1.5;
    place float8[];
    cells bigint[] := '{}';
BEGIN
    IF r < 0 OR abs(lat) > 90 OR NOT archive_udf.bounded(lon) THEN RETURN cells; END IF;
    IF k < 2 THEN RETURN ARRAY(SELECT generate_series(0, 12 * n * n - 1)); END IF;
    place := archive_udf.healpix_place(lon, lat);
    IF place[2] - reach <= 0 OR place[2] + reach >= 1 OR place[3] - reach <= 0 OR place[3] + reach >= 1 THEN
        RETURN archive_udf.cells_around(lon, lat, r + 1e-9, k);
    END IF;
    FOR i IN floor((place[2] - reach) * n)::bigint..floor((place[2] + reach) * n)::bigint LOOP
        FOR j IN floor((place[3] - reach) * n)::bigint..floor((place[3] + reach) * n)::bigint LOOP
            cells := cells || (place[1]::bigint << (2 * k)) + archive_udf.spread(i) + 2 * archive_udf.spread(j);
        END LOOP;
    END LOOP;
    RETURN cells;
END $$;

-- Texts: sexagesimal angles, words, lists.
CREATE OR REPLACE FUNCTION archive_udf.sexagesimal(part text[]) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN part[1]::float8 + part[2]::float8 / 60 + part[3]::float8 / 3600;
CREATE OR REPLACE FUNCTION archive_udf.hms(t text) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 15 * coalesce(
        archive_udf.sexagesimal(regexp_match(t, '^\s*(\d+):([0-5]?\d):([0-5]?\d(?:\.\d*)?)\s*$')),
        archive_udf.sexagesimal(regexp_match(t, '^\s*(\d{2})([0-5]\d)([0-5]\d(?:\.\d*)?)\s*$')),
        archive_udf.sexagesimal(regexp_match(lower(t), '^\s*(\d+)h\s*([0-5]?\d)m\s*([0-5]?\d(?:\.\d*)?)s\s*$')));
CREATE OR REPLACE FUNCTION archive_udf.dms(t text) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN t ~ '^\s*-' THEN -1 ELSE 1 END * coalesce(
        archive_udf.sexagesimal(regexp_match(t, '^\s*[+-]?(\d+):([0-5]?\d):([0-5]?\d(?:\.\d*)?)\s*$')),
        archive_udf.sexagesimal(regexp_match(t, '^\s*[+-]?(\d{2,3})([0-5]\d)([0-5]\d(?:\.\d*)?)\s*$')),
        archive_udf.sexagesimal(regexp_match(lower(t), '^\s*[+-]?(\d+)d\s*([0-5]?\d)m\s*([0-5]?\d(?:\.\d*)?)s\s*$')));
CREATE OR REPLACE FUNCTION archive_udf.words(t text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT array(SELECT found[1]
        FROM regexp_matches(lower(t COLLATE archive_udf.letters), '[[:alnum:]]+' COLLATE archive_udf.letters, 'g') AS found)
$$;
CREATE OR REPLACE FUNCTION archive_udf.has_words(haystack text, needle text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (archive_udf.words(haystack) @> archive_udf.words(needle))::integer;
CREATE OR REPLACE FUNCTION archive_udf.hash_listed(elements text, item text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (lower(item COLLATE archive_udf.letters)
        = ANY (regexp_split_to_array(lower(elements COLLATE archive_udf.letters), '#')))::integer;

-- Histograms: bins 0 (below, and NULL) to n + 1 (above).
CREATE OR REPLACE FUNCTION archive_udf.counted(bins bigint[], x float8, low float8, high float8, n bigint) RETURNS bigint[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE bin integer;
BEGIN
    bins := coalesce(bins, array_fill(0::bigint, ARRAY[n::integer + 2]));
    bin := 1 + CASE WHEN x >= high THEN n + 1
        WHEN x >= low THEN least(n, 1 + floor((x - low) / (high - low) * n)) ELSE 0 END;
    bins[bin] := bins[bin] + 1;
    RETURN bins;
END $$;
CREATE OR REPLACE AGGREGATE archive_udf.histogram(float8, float8, float8, bigint) (
    SFUNC = archive_udf.counted, STYPE = bigint[], PARALLEL = SAFE);
