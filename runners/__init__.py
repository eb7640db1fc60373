"""Those who carry out steps, one package a runner. Each implements taskengine.runner.Runner."""
