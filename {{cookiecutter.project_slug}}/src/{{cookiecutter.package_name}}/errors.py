"""The service's own errors: each derives from the chassis error that is nearest, and has its problem type.

Services raise them and controllers do not catch them; the type's page stands in docs/problems. An example:

    from .chassis.errors import Conflict, ProblemType

    class OutOfStock(Conflict):
        problem = ProblemType("out-of-stock", 409, "Out of stock")
"""
