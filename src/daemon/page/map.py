#!/usr/bin/env python3
"""Makes world.json, the map of the status page, from Natural Earth's countries.

    npm pack world-atlas@2.0.2
    tar xzf world-atlas-2.0.2.tgz package/countries-110m.json
    pip install pycountry
    ./map.py package/countries-110m.json >world.json

Natural Earth (naturalearthdata.com) is in the public domain; the package, which cuts it into shared
arcs, has the ISC licence. The projection is Equal Earth (Savric, Patterson and Jenny, 2018): areas
are true, and it needs no more than a polynomial.

What this does beside projecting:

- Antarctica is left out: nobody calls from there, and it takes a fifth of the room.
- Two shapes have no ISO 3166-1 code: Northern Cyprus and Somaliland. GeoIP databases place their
  addresses in Cyprus and in Somalia, and so does the map. Kosovo is XK, as databases call it.
- Coordinates are whole numbers on a sheet of 2000: less than half a point where it is largest.
"""

import json
import math
import sys

import pycountry

WIDTH = 2000
SOUTH = -57.0  # degrees; below it is only Antarctica
NORTH = 84.0
WITHOUT_CODE = {"Kosovo": "XK", "N. Cyprus": "CY", "Somaliland": "SO"}
A = (1.340264, -0.081106, 0.000893, 0.003796)


def equal_earth(longitude, latitude):
    """Projects degrees to a plane."""
    theta = math.asin(math.sqrt(3) / 2 * math.sin(math.radians(latitude)))
    squared = theta * theta
    sixth = squared**3
    slope = A[0] + 3 * A[1] * squared + sixth * (7 * A[2] + 9 * A[3] * squared)
    x = 2 * math.sqrt(3) * math.radians(longitude) * math.cos(theta) / (3 * slope)
    y = theta * (A[0] + A[1] * squared + sixth * (A[2] + A[3] * squared))
    return x, y


SCALE = WIDTH / (2 * equal_earth(180, 0)[0])
TOP = equal_earth(0, NORTH)[1]


def place(longitude, latitude):
    """Returns where a point is on the sheet."""
    x, y = equal_earth(longitude, latitude)
    return round(WIDTH / 2 + x * SCALE), round((TOP - y) * SCALE)


def arcs_of(topology):
    """Decodes the arcs to degrees: differences of whole numbers, that are scaled and moved."""
    scale_x, scale_y = topology["transform"]["scale"]
    move_x, move_y = topology["transform"]["translate"]
    arcs = []
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for step_x, step_y in arc:
            x, y = x + step_x, y + step_y
            points.append((x * scale_x + move_x, y * scale_y + move_y))
        arcs.append(points)
    return arcs


def ring_of(indices, arcs):
    """Joins arcs; a negative number is an arc that is walked backwards."""
    ring = []
    for index in indices:
        arc = arcs[index] if index >= 0 else arcs[~index][::-1]
        ring += arc[1:] if ring else arc
    return ring


def unwrapped(ring):
    """Lets longitudes go on beyond 180 degrees, so that no step is a jump around the globe."""
    turns, out = 0, []
    for at, (longitude, latitude) in enumerate(ring):
        step = longitude - ring[at - 1][0] if at else 0
        turns += -360 if step > 180 else 360 if step < -180 else 0
        out.append((longitude + turns, latitude))
    return out


def cut(ring, west):
    """Returns what is in the 360 degrees east of a longitude (Sutherland and Hodgman)."""
    for limit, sign in ((west, 1), (west + 360, -1)):
        out = []
        for at, point in enumerate(ring):
            before = ring[at - 1]
            is_in, was_in = (sign * (x - limit) >= 0 for x, _ in (point, before))
            if is_in != was_in:
                share = (limit - before[0]) / (point[0] - before[0])
                out.append((limit, before[1] + share * (point[1] - before[1])))
            if is_in:
                out.append(point)
        ring = out
    return [(x - west - 180, y) for x, y in ring]


def path_of(ring):
    """Returns a ring as the data of an SVG path; nothing where it has shrunk to a line."""
    placed = [place(*point) for point in ring]
    points = [point for at, point in enumerate(placed) if at == 0 or point != placed[at - 1]]
    if points and points[0] == points[-1]:
        points.pop()
    if len(points) < 3:
        return ""
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(points, points[1:])]
    numbers = " ".join(f"{x} {y}" for x, y in steps).replace(" -", "-")
    return f"M{points[0][0]} {points[0][1]}l{numbers}z"


def path_on_sheet(ring):
    """Returns a ring as paths; one that goes over the edge of the sheet comes in on the other."""
    ring = unwrapped(ring)
    return "".join(path_of(cut(ring, west)) for west in (-540, -180, 180))


def code_of(country):
    """Returns the alpha-2 code of a shape."""
    if "id" not in country:
        return WITHOUT_CODE[country["properties"]["name"]]
    return pycountry.countries.get(numeric=country["id"]).alpha_2


def main():
    """Reads the topology that is named, and writes the map."""
    with open(sys.argv[1], encoding="utf-8") as file:
        topology = json.load(file)
    arcs = arcs_of(topology)
    paths = {}
    for country in topology["objects"]["countries"]["geometries"]:
        code = code_of(country)
        if code == "AQ":
            continue
        shapes = country["arcs"] if country["type"] == "MultiPolygon" else [country["arcs"]]
        data = "".join(path_on_sheet(ring_of(ring, arcs)) for shape in shapes for ring in shape)
        paths[code] = paths.get(code, "") + data
    height = round((TOP - equal_earth(0, SOUTH)[1]) * SCALE)
    head = {
        "source": "Natural Earth 1:110m, public domain, through world-atlas 2.0.2 (ISC)",
        "projection": "Equal Earth",
        "scale": round(SCALE, 4),
        "top": round(TOP, 6),
        "width": WIDTH,
        "height": height,
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    rows = [f'    "{code}": "{paths[code]}"' for code in sorted(paths)]
    print("{", *lines, '  "paths": {', ",\n".join(rows), "  }", "}", sep="\n")


main()
