from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from moving_protein import GROWTH, GrowingModel, growing, helix
from scipy.spatial import cKDTree
from small_predictions import COARSE, OPTIONS, anchored

from moedsr_core.errors import InputError
from moedsr_core.mesh_trajectory import load_trajectory
from moedsr_core.metrics.occupancy import (
    Grid,
    field_occupancy,
    intersection_over_union,
    mesh_occupancy,
)
from moedsr_core.predict import (
    PredictOptions,
    choose_device,
    predict,
    predict_frames,
    surface_mesh,
)
from moedsr_core.structure import from_arrays, polymer_heavy_atoms
from moedsr_core.surface.ses import SolventExcludedSurface


@pytest.fixture(scope="module")
def movie():
    return predict(helix(), OPTIONS, loaded=growing())


def test_the_first_frame_is_the_input_surface_in_the_inputs_own_pose(movie):
    atoms = helix()
    surface = SolventExcludedSurface(atoms.coords, atoms.radii)
    assert np.abs(surface.signed_distance(movie.frames[0].vertices)).max() < 0.1
    assert np.abs(movie.frames[0].displacement).max() < 0.02
    assert movie.frames[0].volume == pytest.approx(surface.mesh(0.5).volume, rel=0.04)


def test_the_last_frame_lies_the_growth_outside_the_first(movie):
    assert movie.frames[-1].displacement == pytest.approx(GROWTH, abs=0.05)
    distance = cKDTree(movie.frames[0].vertices).query(movie.frames[-1].vertices)[0]
    assert np.median(distance) == pytest.approx(GROWTH, abs=0.1)


def test_fluctuation_and_mean_displacement_are_those_of_the_distance(movie):
    signal = GROWTH * np.linspace(0, 1, 5)
    assert movie.fluctuation == pytest.approx(signal.std(), abs=0.03)
    assert movie.mean_displacement == pytest.approx(signal.mean(), abs=0.03)


def test_every_frame_is_watertight_with_outward_normals(movie):
    for frame in movie.frames:
        assert frame.is_watertight
        ahead = replace(frame, vertices=frame.vertices + 0.05 * frame.normals)
        assert ahead.volume > frame.volume > 0


def test_tracked_frames_share_their_faces(movie):
    assert all(frame.faces is movie.frames[0].faces for frame in movie.frames)
    assert movie.metadata["topologies"] == 1


def test_each_vertex_names_the_nearest_atom_of_the_input():
    atoms = helix()
    water = from_arrays(
        np.array([[50.0, 0, 0]]), elements=["O"], atom_names=["O"], residue_names=["HOH"]
    )
    both = from_arrays(
        np.concatenate([water.coords, atoms.coords]),
        **{
            name: np.concatenate([getattr(water, name), getattr(atoms, name)])
            for name in ("elements", "atom_names", "residue_names", "residue_ids", "chain_ids")
        },
    )
    movie = predict(both, replace(OPTIONS, frames=1), loaded=growing())
    first = movie.frames[0].vertices
    gaps = np.linalg.norm(both.coords[movie.atom] - first, axis=1)
    assert gaps == pytest.approx(cKDTree(atoms.coords).query(first)[0], abs=1e-5)
    assert movie.atom.min() >= 1
    assert len(np.unique(movie.atom)) > 20


def test_experts_share_every_vertex(movie):
    assert movie.expert.shape == (len(movie.frames[0].vertices), 2)
    assert np.allclose(movie.expert, [0.25, 0.75])


def test_times_run_evenly_from_the_input_to_the_end_of_the_span(movie):
    assert np.allclose(movie.times, [-1, -0.5, 0, 0.5, 1])
    assert movie.lags_ps[[0, -1]] == pytest.approx([0.0, 100.0])
    assert predict(helix(), replace(OPTIONS, frames=1), loaded=growing()).times == [-1.0]


def test_a_duration_ends_the_movie_where_it_says(movie):
    short = predict(helix(), replace(OPTIONS, duration_ps=9.0), loaded=growing())
    assert short.lags_ps[[0, -1]] == pytest.approx([0.0, 9.0])
    assert np.allclose(np.diff(short.times), np.diff(short.times)[0])
    grown = [m.frames[-1].displacement.mean() for m in (short, movie)]
    share = (short.times[-1] + 1) / 2
    assert 0.3 < share < 0.7 and grown[0] == pytest.approx(share * grown[1], rel=0.1)


@pytest.mark.parametrize(
    ("span", "reason"), [(0.0, "no physical time"), (100.0, "reaches 100 ps after the input")]
)
def test_a_duration_that_the_model_does_not_reach_is_refused(span, reason):
    with pytest.raises(InputError, match=reason):
        predict(helix(), replace(OPTIONS, duration_ps=101.0), loaded=growing(span_ps=span))


@pytest.mark.parametrize(("model", "level"), [(growing, 1.4), (anchored, -0.5), (anchored, 1.4)])
def test_a_level_lies_its_distance_from_the_surface_in_every_frame(model, level):
    options = replace(OPTIONS, frames=2, level=level)
    first, last = predict(helix(), options, loaded=model()).frames
    atoms = polymer_heavy_atoms(helix())
    distance = SolventExcludedSurface(atoms.coords, atoms.radii).signed_distance(first.vertices)
    assert np.median(distance) == pytest.approx(level, abs=0.04)
    assert np.percentile(abs(distance - level), 95) < (0.05 if level < 0 else 0.15)
    assert abs(first.displacement).mean() < 0.05
    plain = predict(helix(), replace(options, level=0.0), loaded=model()).frames[1]
    assert np.sign(last.volume - plain.volume) == np.sign(level)


def test_a_model_without_physical_time_gives_no_lags():
    movie = predict(helix(), replace(OPTIONS, frames=1), loaded=growing(span_ps=0.0))
    assert movie.lags_ps is None


@pytest.mark.parametrize("mesh", ["tracked", "marching_cubes"])
def test_a_moved_molecule_moves_its_prediction(mesh):
    atoms, options = helix(5), replace(COARSE, mesh=mesh)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    moved = atoms.with_coords(atoms.coords @ turn.T + [30.0, -20.0, 10.0])
    here = predict(atoms, options, loaded=anchored())
    there = predict(moved, options, loaded=anchored())
    assert np.abs(here.frames[2].displacement).max() > 0.05
    for a, b in zip(here.frames, there.frames, strict=True):
        assert len(a.vertices) == len(b.vertices)
        expected = a.vertices @ turn.T + [30.0, -20.0, 10.0]
        assert np.abs(b.vertices - expected).max() < 0.05
        assert np.abs(b.normals - a.normals @ turn.T).max() < 0.1
    assert np.abs(here.fluctuation - there.fluctuation).max() < 0.02


def test_a_seed_draws_one_motion_and_another_seed_another():
    options, loaded = replace(COARSE, mesh="marching_cubes"), anchored()
    first, again, other = (
        predict(helix(5), replace(options, seed=seed), loaded=loaded) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.frames[2].vertices, again.frames[2].vertices)
    assert np.array_equal(first.frames[2].displacement, again.frames[2].displacement)
    a, b = (np.sort(movie.frames[2].displacement) for movie in (first, other))
    assert len(a) != len(b) or np.abs(a - b).max() > 0.01


def test_the_code_of_the_motion_is_what_was_asked_for(monkeypatch):
    def fit(model, code, points, normals, *, generator):
        on_surface = code.protein.surface.signed_distance(points.numpy() * code.protein.scale)
        assert np.abs(on_surface).mean() < 0.1
        assert torch.equal(normals, code.protein.normals)
        return torch.tensor([-0.5])

    monkeypatch.setattr("moedsr_core.model_field.fit_latent", fit)
    grown = {}
    for latent in ("typical", "sample", "mean", "fit"):
        model = GrowingModel()
        model.mean_code = torch.tensor([0.5])
        options = replace(OPTIONS, frames=2, latent=latent, seed=3)
        movie = predict(helix(), options, loaded=growing(model))
        grown[latent] = float(np.median(movie.frames[1].displacement))
    drawn = torch.randn(1, generator=torch.Generator().manual_seed(3)).item()
    assert grown["typical"] == pytest.approx(GROWTH, abs=0.02)
    assert grown["fit"] == pytest.approx(0.5 * GROWTH, abs=0.02)
    assert grown["mean"] == pytest.approx(1.5 * GROWTH, abs=0.02)
    assert grown["sample"] == pytest.approx((1 + drawn) * GROWTH, abs=0.05)


def test_a_mean_code_that_the_model_lacks_is_refused():
    with pytest.raises(InputError, match="latent=mean"):
        predict(helix(), replace(OPTIONS, latent="mean"), loaded=growing())


def test_a_surface_that_outgrows_the_box_is_named():
    model = GrowingModel()
    model.mean_code = torch.tensor([8.0])
    with pytest.raises(InputError, match="leaves the box"):
        predict(helix(), replace(OPTIONS, latent="mean"), loaded=growing(model))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"frames": 0}, "frames must be a whole number from 1 to 2000"),
        ({"frames": 2001}, "frames"),
        ({"frames": True}, "frames"),
        ({"spacing": 0.1}, "spacing must be a number from 0.3 to 3.0"),
        ({"spacing": 4.0}, "spacing"),
        ({"spacing": float("nan")}, "spacing"),
        ({"seed": -1}, "seed"),
        ({"n_points": 3}, "n_points"),
        ({"mesh": "cubes"}, r"mesh must be one of .*tracked"),
        ({"latent": "best"}, r"latent must be one of typical, sample, mean, fit"),
        ({"surface": "edtsurf"}, r"surface must be one of ses, pymol, msms"),
        ({"device": "tpu"}, "device must be"),
        ({"model": ""}, "model must be"),
    ],
)
def test_options_out_of_range_are_refused(change, reason):
    with pytest.raises(InputError, match=reason):
        replace(OPTIONS, **change)


def test_the_processor_is_there_and_other_devices_only_where_they_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(InputError, match=f"no device {name} here"):
            choose_device(name)
    with pytest.raises(InputError, match="device must be"):
        choose_device("gpu")


def test_a_device_is_taken_in_the_order_cuda_mps_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"
    with pytest.raises(InputError, match="cuda:1"):
        choose_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "mps"


def test_a_structure_without_polymer_is_refused_before_anything_runs():
    with pytest.raises(InputError, match="protein or nucleic acid"):
        predict_frames(
            from_arrays(np.zeros((1, 3)), elements=["ZN"], residue_names=["ZN"]), OPTIONS
        )


def test_an_unknown_model_is_refused_with_its_name():
    with pytest.raises(InputError, match="no_such_model"):
        next(predict_frames(helix(), replace(OPTIONS, model="no_such_model")))


def test_the_surface_mesh_of_a_structure_is_its_solvent_excluded_surface():
    atoms = helix()
    mesh = surface_mesh(atoms, "ses", 0.6)
    surface = SolventExcludedSurface(atoms.coords, atoms.radii)
    assert np.abs(surface.signed_distance(mesh.vertices)).max() < 0.15
    with pytest.raises(InputError, match="ses, pymol, msms"):
        surface_mesh(atoms, "edtsurf")
    with pytest.raises(InputError, match="spacing"):
        surface_mesh(atoms, "ses", 0.0)


def test_other_programs_surfaces_get_the_spacing_in_their_own_terms(monkeypatch):
    asked = {}
    for name in ("pymol", "msms"):
        monkeypatch.setattr(
            f"moedsr_core.surface.choice.{name}_surface",
            lambda atoms, **options: asked.update(options) or surface_mesh(atoms, "ses", 1.0),
        )
        surface_mesh(helix(), name, 0.5)
    assert asked == {"quality": 0, "density": 4.0}


def test_the_models_points_can_come_from_another_programs_surface(monkeypatch):
    seen = {}

    class Looking(GrowingModel):
        def encode(self, protein):
            seen["points"], seen["surface"] = protein.points.numpy(), protein.surface
            return super().encode(protein)

    def inflated(atoms, **_options):
        return SolventExcludedSurface(atoms.coords, atoms.radii + 1.0).mesh(0.7)

    monkeypatch.setattr("moedsr_core.surface.choice.msms_surface", inflated)
    movie = predict(helix(), replace(OPTIONS, frames=1, surface="msms"), loaded=growing(Looking()))
    away = seen["surface"].signed_distance(seen["points"].astype(np.float64))
    assert np.median(away) == pytest.approx(1.0, abs=0.15)
    assert np.abs(movie.frames[0].displacement).max() < 0.02


def test_a_prediction_comes_back_from_its_file(movie, tmp_path):
    movie.save(tmp_path / "a.npz")
    loaded = load_trajectory(tmp_path / "a.npz")
    assert np.array_equal(loaded.frames[3].vertices, movie.frames[3].vertices)
    assert loaded.metadata["options"]["frames"] == 5
    assert loaded.metadata["program"] == "moedsr"


@pytest.mark.data
def test_a_real_protein_moves_and_starts_from_its_own_surface(data_dir):
    from moedsr_core.structure import polymer_heavy_atoms
    from moedsr_core.structure_io import read_structure

    path = data_dir / "protein_md" / "trpcage_tc5b" / "top.pdb"
    atoms = polymer_heavy_atoms(read_structure(path))
    movie = predict(atoms, COARSE, loaded=anchored())
    surface = SolventExcludedSurface(atoms.coords, atoms.radii)
    assert np.abs(surface.signed_distance(movie.frames[0].vertices)).max() < 0.3
    assert all(frame.is_watertight for frame in movie.frames)
    assert np.abs(movie.frames[2].displacement).max() > 0.05
    assert movie.metadata["share_of_dense"] < 0.3


def test_the_first_frame_encloses_what_the_inputs_own_surface_encloses():
    atoms = polymer_heavy_atoms(helix())
    surface = SolventExcludedSurface(atoms.coords, atoms.radii)
    low, high = surface.bounds
    for mesh in ("tracked", "marching_cubes"):
        options = PredictOptions(frames=1, mesh=mesh, n_points=100)
        frame = predict(helix(), options, loaded=anchored()).frames[0]
        grid = Grid.around(low - 1.0, high + 1.0, 0.4)
        inside = field_occupancy(surface.signed_distance, grid)
        assert intersection_over_union(mesh_occupancy(frame, grid), inside) > 0.98
        off = np.abs(surface.signed_distance(frame.vertices) - frame.displacement)
        assert off.max() < 0.05  # the same surface sampled in another pose


def test_the_names_that_options_know_are_those_that_are_made():
    from moedsr_core import predict_options
    from moedsr_core.levelset.extract import MESHERS
    from moedsr_core.model_field import LATENTS
    from moedsr_core.surface.choice import SURFACES

    assert sorted(predict_options.MESHES) == sorted(MESHERS)
    assert sorted(predict_options.LATENTS) == sorted(LATENTS)
    assert sorted(predict_options.SURFACES) == sorted(SURFACES)


def test_nothing_is_imported_that_is_not_needed():
    """Options need no torch, prediction no PyMOL, which is slow, nor torch's compiler, likewise."""
    code = (
        "import sys, moedsr_core.predict_options\n"
        "print({'torch'} & sys.modules.keys())\n"
        "import moedsr_core.predict, moedsr_core.surface.external\n"
        "print({'torch._dynamo', 'pymol'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["set()", "set()", ""]
