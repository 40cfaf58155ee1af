"""Hundreds of services on one machine: who they are, whom they call, their objects, and a program that is all of them.

With the shop's nine they are as many as Tradeshift moved: 409 in `legacy`, and 51 that stood in `eks` from the start.
"""
