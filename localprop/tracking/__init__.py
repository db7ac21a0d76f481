"""Tracking a signal with a small recurrent net, as the papers do."""
