-- Functions by which pgSphere's index answers; run after postgres.sql where the extension is installed, with its schema
-- on the search path. They take the place of those by trigonometry that have the same names there.
--
-- They are one-liners, so that the planner sees pgSphere's operators where they are called. A cap is a circle of up to
-- 90 degrees, a little too wide, since the exact test follows; what is wider is NULL as a cap.

CREATE OR REPLACE FUNCTION archive_udf.spot(lon float8, lat float8) RETURNS spoint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN spoint(radians(lon), radians(lat));
CREATE OR REPLACE FUNCTION archive_udf.cap(lon float8, lat float8, r float8) RETURNS scircle
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN scircle(spoint(radians(lon), radians(lat)),
        CASE WHEN r BETWEEN 0 AND 90 THEN least(radians(r + 1e-7), pi() / 2) END);

-- A wide circle around the second position is two caps: half the sky, and the other half.
CREATE OR REPLACE FUNCTION archive_udf.touches(
    lon1 float8, lat1 float8, r1 float8, lon2 float8, lat2 float8, r2 float8) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN archive_udf.cap(lon1, lat1, r1) && archive_udf.cap(lon2, lat2, least(r2, 90))
        OR archive_udf.cap(lon1, lat1, r1) && archive_udf.cap(lon2 + 180, -lat2, CASE WHEN r2 > 90 THEN 90::float8 END)
        OR r1 > 90;
CREATE OR REPLACE FUNCTION archive_udf.reached(lon1 float8, lat1 float8, lon2 float8, lat2 float8, r float8)
    RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN archive_udf.spot(lon1, lat1) <@ archive_udf.cap(lon2, lat2, least(r, 90))
        OR archive_udf.spot(lon1, lat1) <@ archive_udf.cap(lon2 + 180, -lat2, CASE WHEN r > 90 THEN 90::float8 END);
