"""Upgrades of gripproxy with many held streams, under load by publishers that number their items."""
